"""A row that waits for something other than its own work, such as an endpoint that is away.

While it waits, its `batch_timeout` does not run, and a worker that must stop hands it back instead of waiting with it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from common.errors import Interrupted


@dataclass(slots=True)
class Waits:
    """What the rows of one runner wait for; a stop ends all these waits. Used on one event loop.

    Attributes:
        stopping: no row waits any longer.
        reasons: what is waited for -> in how many places.
        answered: an endpoint has answered, if only with a refusal.
        vain: when the last call began that found its endpoint away, by `time.monotonic`.
    """

    stopping: bool = False
    reasons: Counter[str] = field(default_factory=Counter)
    answered: bool = False
    vain: float = -math.inf
    _busy: tuple[str, float] = ("", 0.0)
    _stopped: asyncio.Future[None] | None = None

    def stop(self) -> None:
        """Ends all waits, now and later, with `Interrupted`."""
        self.stopping = True
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)

    def stop_soon(self) -> None:
        """`stop`, from any thread."""
        self.stopping = True  # first, for a wait that begins now
        if (stopped := self._stopped) is not None:
            with suppress(RuntimeError):  # the loop has ended, and nothing waits on it
                stopped.get_loop().call_soon_threadsafe(self.stop)

    @property
    def reason(self) -> str:
        """What most of them wait for; empty if none does."""
        return next((why for why, _ in self.reasons.most_common(1)), "")

    @property
    def busy(self) -> str:
        """What has asked for a pause that is not over; empty if nothing has."""
        what, until = self._busy
        return what if time.monotonic() < until else ""

    def note_busy(self, what: str, until: float) -> None:
        """Something such as an endpoint has asked for a pause.

        Args:
            until: when it is over, by `time.monotonic`.
        """
        self._busy = (what, until)

    def note(self, why: str, rows: int) -> None:
        """More rows, or fewer, wait for it."""
        if why:
            self.reasons[why] += rows
            if self.reasons[why] <= 0:
                del self.reasons[why]

    def stopped(self) -> asyncio.Future[None]:
        """Done as soon as the worker must stop."""
        loop = asyncio.get_running_loop()
        if self._stopped is None or self._stopped.get_loop() is not loop:  # a generator has a loop for each call of it
            self._stopped = loop.create_future()
            if self.stopping:
                self._stopped.set_result(None)
        return self._stopped


class RowClock:
    """How long one attempt at a row has worked, its waits left out.

    Args:
        waits: of the runner; None for a call outside a pipeline, which nothing stops.
        patience: seconds after which a call gives up an endpoint that is away; None if somebody else decides.

    Attributes:
        was_interrupted: a wait ended because the worker must stop, whatever the step made of the exception.
        records: what the row has met, by whom it asked.
    """

    def __init__(self, waits: Waits | None = None, patience: float | None = None) -> None:
        self.was_interrupted = False
        self.patience = patience
        self.records: dict[object, Any] = {}
        self._waits = waits or Waits()
        self._began = time.monotonic()
        self._waiting = 0
        self._since = 0.0
        self._waited = 0.0

    @property
    def worked(self) -> float:
        """Seconds."""
        now = time.monotonic()
        return now - self._began - self._waited - (now - self._since if self._waiting else 0.0)

    def note_busy(self, what: str, until: float) -> None:
        """See `Waits`."""
        self._waits.note_busy(what, until)

    def note_answer(self) -> None:
        """See `Waits`."""
        self._waits.answered = True

    def note_away(self, sent: float) -> None:
        """A call that was sent then has found its endpoint away."""
        self._waits.vain = max(self._waits.vain, sent)

    def note_probe(self, why: str, rows: int) -> None:
        """The row asks whether what the others wait for is back: it still waits for that, but in working time."""
        self._waits.note(why, rows)

    async def wait(
        self, *, until: asyncio.Future[Any] | None = None, seconds: float | None = None, why: str = ""
    ) -> None:
        """Returns when `until` is done or the seconds are over, whichever is first.

        Args:
            why: what the row waits for, for people; empty for a pause of its own.

        Raises:
            Interrupted: the worker must stop.
        """
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting += 1
        self._waits.note(why, 1)
        stopped = self._waits.stopped()
        try:
            await asyncio.wait(
                {stopped} if until is None else {stopped, until}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._waited += time.monotonic() - self._since
            self._waits.note(why, -1)
        if self._waits.stopping:
            self.was_interrupted = True
            raise Interrupted


PATIENCE_OF_A_PROGRAM = 30.0
_CLOCK: ContextVar[RowClock | None] = ContextVar("penstock_row_clock", default=None)


def row_clock() -> RowClock:
    """That of the row in progress; outside a pipeline, one of its own."""
    return _CLOCK.get() or RowClock(patience=PATIENCE_OF_A_PROGRAM)


def use_clock(clock: RowClock) -> None:
    """Makes it the clock of the row that the current task runs, and of the tasks that it starts."""
    _CLOCK.set(clock)
