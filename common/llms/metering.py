"""Who is told of each answer of a model: the row that it is for, and the worker, which counts all that it has spent.

A runner sets a `Tally` for each attempt at a row. Whatever asks a model within it notes each answer there with
`note_answer`; `ask` keeps a tally of its own per try, so that an answer that is asked for again is spent and not kept.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from common.llms.base import Generation
from common.protocol.usage import Usage

_ADDED_TOGETHER = 10_000
Paid = Literal["now", "earlier", "elsewhere"]
"""When an answer was paid for: with this call; earlier, by this very run; elsewhere, by another run."""


class Meter:
    """All that a worker has spent on answers, whatever became of them. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent = Usage()
        self._new: deque[Usage] = deque()

    @property
    def spent(self) -> Usage:
        """So far."""
        self._add_new()
        return self._spent

    def note(self, usage: Usage) -> None:
        """Adds to it: when somebody asks, or when there are many."""
        self._new.append(usage)
        if len(self._new) >= _ADDED_TOGETHER:
            self._add_new()

    def _add_new(self) -> None:
        with self._lock:
            while self._new:
                self._spent += self._new.popleft()


class Tally:
    """The answers of one attempt at a row, or of one try at an answer.

    Args:
        meter: of the worker; None outside a pipeline.

    Attributes:
        usage: of answers that count as kept if the row is kept.
        saved: of those that another run has paid for.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        self.meter = meter
        self.usage = Usage()
        self.saved = Usage()

    def note(self, usage: Usage, paid: Paid = "now") -> None:
        """Notes an answer."""
        if paid == "elsewhere":
            self.saved += usage
            return
        self.usage += usage
        if paid == "now" and self.meter is not None:
            self.meter.note(usage)

    def keep(self, other: Tally) -> None:
        """Takes over the answers of a try that was good."""
        self.usage += other.usage
        self.saved += other.saved

    @property
    def is_empty(self) -> bool:
        """Whether no answer was noted."""
        return not self.usage and not self.saved


_TALLY: ContextVar[Tally | None] = ContextVar("penstock_tally", default=None)


def use_tally(tally: Tally) -> None:
    """Makes it that of the current task and of the tasks that it starts."""
    _TALLY.set(tally)


def note_answer(model: str, answer: Generation | None, paid: Paid = "now") -> None:
    """Counts an answer of a model; to be called once per answer by whatever receives it.

    Args:
        model: its name in the spec, which prices are for.
        answer: None if its tokens are unknown.
        paid: for an answer found in a store of answers.
    """
    tally = _TALLY.get()
    if tally is not None:
        tally.note(usage_of(model, answer), paid)


def usage_of(model: str, answer: Generation | None) -> Usage:
    """What one answer took."""
    if answer is None:
        return Usage.of_call(model)
    return Usage.of_call(
        model,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        cached_tokens=answer.cached_tokens,
        reasoning_tokens=answer.reasoning_tokens,
        finish_reason=answer.finish_reason,
    )


@contextmanager
def one_try() -> Iterator[Tally]:
    """A tally for one try at an answer; what it keeps is for the caller to decide."""
    outer = _TALLY.get()
    tally = Tally(outer.meter if outer is not None else None)
    token = _TALLY.set(tally)
    try:
        yield tally
    finally:
        _TALLY.reset(token)


def keep(tally: Tally) -> None:
    """The answers of a good try count as kept if the row does."""
    outer = _TALLY.get()
    if outer is not None:
        outer.keep(tally)
