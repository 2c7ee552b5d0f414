"""How a batch that raises is tried again: as a whole, then in halves, until only the rows that fail are left."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

from common.errors import RowError, UsageError, describe
from common.raised import StepCode
from common.steps.base import BaseStep, GlobalStep, Row, Step
from common.steps.mappings import apply_input_mappings, apply_output_mappings
from worker.complaints import Complaints
from worker.outcome import FailedRow, Outcome, StepFailed, columns_of, give_up, give_up_batch

Inputs = Sequence[list[Row]]
Pause = Callable[[float], None]


def delays(step: BaseStep) -> Iterator[float]:
    """Seconds to wait before each retry: doubled each time, up to the step's maximum, with jitter."""
    first, most = step.backoff
    for retry in range(step.retries):
        yield min(most, first * 2**retry) * random.uniform(0.5, 1.0)


def call_step(step: Step, inputs: Inputs) -> list[Row]:
    """Runs `process` on one batch, mappings applied; every yield counts.

    Raises:
        RowError: the step yields something else than lists of rows.
        Exception: whatever the step raises.
    """
    mapped = [apply_input_mappings(step, rows) for rows in inputs]
    made: list[Row] = []
    for rows in step.process(*(rows for rows, _ in mapped)):
        if not isinstance(rows, list):
            raise RowError(f"process of step '{step.name}' yields a {type(rows).__name__}; it must yield lists of rows")
        for row in rows:
            if not isinstance(row, dict):
                raise RowError(f"process of step '{step.name}' yields a {type(row).__name__} in the place of a row")
        made.extend(rows)
    return apply_output_mappings(step, made, mapped[0][1] if mapped else None)


class Attempts:
    """Runs batches of a synchronous step.

    Args:
        step: loaded.
        pause: waits for some seconds; raises Interrupted when the worker is to stop.
        complaints: where the errors of rows that are given up are logged.
        watch: goes around every call of `process`, to end those that take too long.
    """

    def __init__(
        self,
        step: Step,
        pause: Pause,
        complaints: Complaints,
        watch: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._step = step
        self._watch = watch
        self._pause = pause
        self._complaints = complaints

    def run(self, fresh: Callable[[], Inputs]) -> Outcome:
        """Runs one batch.

        Args:
            fresh: gives the batch's whole rows, new each time, since a step may change what it is given.

        Raises:
            StepFailed: the rows that fail may not be left out.
            Interrupted: the worker is to stop, and the batch waits for a retry.
        """
        inputs = fresh()
        taken = max((len(rows) for rows in inputs), default=0)
        outcome = Outcome(taken)
        made, error = self._try(inputs, fresh)
        if error is None:
            outcome.pieces.append((taken, made))
            return outcome
        self._complaints.note(f"a batch of {taken} rows", error)
        if isinstance(self._step, GlobalStep):
            raise StepFailed(describe(error)) from error
        if self._splittable(fresh()) and taken > 1:
            self._bisect(fresh, 0, taken, outcome)
        else:
            give_up_batch(self._step, outcome, fresh(), describe(error), 1 + self._step.retries)
        return outcome

    def _try(self, inputs: Inputs, fresh: Callable[[], Inputs]) -> tuple[list[Row | None], Exception | None]:
        """The batch, and its retries."""
        error = None
        for delay in (0.0, *delays(self._step)):
            if error is not None:
                self._pause(delay)
                inputs = fresh()
            try:
                with self._watch(), StepCode():
                    return list(call_step(self._step, inputs)), None
            except UsageError as raised:
                raise StepFailed(describe(raised)) from raised
            except Exception as raised:
                error = raised
        return [], error

    def _splittable(self, inputs: Inputs) -> bool:
        return self._step.splittable and len({len(rows) for rows in inputs}) == 1

    def _bisect(self, fresh: Callable[[], Inputs], start: int, stop: int, outcome: Outcome) -> None:
        """The rows from `start` to `stop` failed together: each half once, a single row with its own retries."""

        def part(first: int, last: int) -> Callable[[], Inputs]:
            return lambda: [rows[first:last] for rows in fresh()]

        middle = (start + stop) // 2
        for first, last in ((start, middle), (middle, stop)):
            take = part(first, last)
            if last - first == 1:
                made, error = self._try(take(), take)
                if error is None:
                    outcome.pieces.append((1, made))
                else:
                    self._complaints.note("a row", error)
                    attempts = 1 + self._step.retries
                    failure = FailedRow(first, describe(error), attempts, take()[0][0], columns_of(error))
                    give_up(self._step, outcome, [failure])
                continue
            inputs = take()
            try:
                with self._watch(), StepCode():
                    made = list(call_step(self._step, inputs))
                outcome.pieces.append((last - first, list(made)))
            except Exception:
                self._bisect(fresh, first, last, outcome)
