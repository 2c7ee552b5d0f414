"""How a batch that raises is retried: as a whole, then in halves, down to the failing rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

from common.building.components import retry_policy
from common.errors import RowError, StepFailed, UsageError
from common.llms.answers.row_answers import BatchAnswers
from common.llms.metering import Meter, Tally, use_tally
from common.process.raised import StepCode, without_frames
from common.steps.base import BaseStep, GlobalStep, Row, Step
from common.steps.mappings import apply_input_mappings, apply_output_mappings
from common.steps.retry import Again, GivenUp, Halts, Retry
from worker.batches.outcome import FailedRow, MadeRows, Outcome, columns_of, give_up, give_up_batch
from worker.runners.batch_answers import one_call
from worker.runners.complaints import Complaints
from worker.runners.copies import copied

Inputs = Sequence[list[Row]]
Pause = Callable[[float], None]
DENSE = 4
"""Consecutive failed rows after which the next rows are tried alone."""


def call_step(step: Step, inputs: Inputs) -> list[Row]:
    """Runs `process` on one batch, mappings applied; every yield counts.

    Raises:
        UsageError: the step returns a value instead of yielding.
        RowError: the step yields something other than lists of rows.
        Exception: whatever the step raises.
    """
    mapped = [apply_input_mappings(step, rows) for rows in inputs]
    made: list[Row] = []
    given = step.process(*(rows for rows, _ in mapped))
    if not isinstance(given, Iterable):
        raise UsageError(no_yield(step, given))
    for rows in given:
        if isinstance(given, list) and isinstance(rows, dict):
            raise UsageError(no_yield(step, given))
        if not isinstance(rows, list):
            raise RowError(f"process of step '{step.name}' yields a {type(rows).__name__}; it must yield lists of rows")
        for row in rows:
            if not isinstance(row, dict):
                raise RowError(f"process of step '{step.name}' yields a {type(row).__name__} instead of a row")
        made.extend(rows)
    return apply_output_mappings(step, made, mapped[0][1] if mapped else None)


def no_yield(step: BaseStep, returned: object) -> str:
    """The error of a `process` that returns its rows, or nothing, instead of yielding."""
    rows = "yield rows, last" if step.kind == "generator" else "yield rows"
    what = "nothing" if returned is None else f"a {type(returned).__name__}"
    return f"process of step '{step.name}' returns {what}, but must yield its rows; write '{rows}' in it"


class Attempts:
    """Runs batches of a synchronous step.

    Args:
        step: loaded.
        pause: waits for some seconds; raises Interrupted if the worker must stop.
        complaints: logs the errors of rows that are given up.
        watch: wraps every call of `process`, to end one that takes too long.

    Attributes:
        meter: what all calls of models in these batches took.
    """

    def __init__(
        self,
        step: Step,
        pause: Pause,
        complaints: Complaints,
        watch: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._step = step
        self._policy = retry_policy(step)
        self._watch = watch
        self._pause = pause
        self._complaints = complaints
        self._answers: BatchAnswers | None = None
        self.meter = Meter()

    def run(self, fresh: Callable[[], Inputs], answers: BatchAnswers | None = None) -> Outcome:
        """Runs one batch.

        Args:
            fresh: returns new copies of the batch's whole rows, since a step may change them.
            answers: the kept answers of the batch; None if none are kept.

        Raises:
            StepFailed: the failing rows may not be dropped.
            Interrupted: the worker must stop, and the batch waits for a retry.
        """
        inputs = fresh()
        taken = max((len(rows) for rows in inputs), default=0)
        outcome = Outcome(taken)
        self._answers, alone = answers, taken <= 1 or not self._splittable(inputs)
        retry = Retry(self._policy)
        made = self._try(f"a batch of {taken} rows", inputs, fresh, retry, alone=alone)
        if not isinstance(made, GivenUp):
            outcome.add(made, taken)
            return outcome
        if isinstance(self._step, GlobalStep):
            raise StepFailed(made.error) from made.cause
        whole = fresh()
        if self._splittable(whole) and taken > 1:
            self._bisect(whole, taken, outcome)
        else:
            give_up_batch(self._step, outcome, whole, made.error, retry.tries)
        return outcome

    def _try(
        self, what: str, inputs: Inputs, fresh: Callable[[], Inputs], retry: Retry, *, alone: bool = True
    ) -> MadeRows | GivenUp:
        """Runs rows, with their retries."""
        while True:
            try:
                return self._call(inputs, alone=alone)
            except Exception as error:
                verdict = retry.after(error)
                if isinstance(verdict, GivenUp):
                    self._complaints.note(what, verdict.cause)
                without_frames(error)
            match verdict:
                case Again(seconds):
                    self._pause(seconds)
                    inputs = fresh()
                case Halts(cause):
                    raise StepFailed(verdict.error) from cause
                case GivenUp():
                    return verdict

    def _call(self, inputs: Inputs, *, alone: bool) -> MadeRows:
        tally = Tally(self.meter)
        use_tally(tally)
        with one_call(self._answers, alone=alone), self._watch(), StepCode():
            rows = call_step(self._step, inputs)
        return MadeRows(rows, tally.usage, tally.saved)

    def _splittable(self, inputs: Inputs) -> bool:
        return (
            self._step.splittable
            and not isinstance(self._step, GlobalStep)
            and len({len(rows) for rows in inputs}) == 1
        )

    def _bisect(self, whole: Inputs, taken: int, outcome: Outcome) -> None:
        """The rows failed together: tries each half once, then its halves; a single row has its own retries.

        After consecutive failures, the next rows are not tried together first: in a batch whose rows all fail, each row
        is tried three times, not log2(n) times.

        Args:
            whole: the rows of the batch; the step gets copies.

        Raises:
            StepFailed: the step reports that its rows are not at fault.
        """
        waiting = _halves(0, taken)
        failed_alone = 0
        while waiting:
            first, last = waiting.pop()
            if last - first == 1:
                failed_alone = 0 if self._run_alone(whole, first, outcome) else failed_alone + 1
            elif failed_alone >= DENSE:
                waiting += [(first + 1, last), (first, first + 1)]
            else:
                try:
                    outcome.add(self._call(_copies(whole, first, last), alone=False), last - first)
                    failed_alone = 0
                except Exception as error:
                    if isinstance(verdict := Retry(self._policy).after(error), Halts):
                        raise StepFailed(verdict.error) from error
                    without_frames(error)
                    waiting += _halves(first, last)

    def _run_alone(self, whole: Inputs, place: int, outcome: Outcome) -> bool:
        """Returns whether the row succeeded."""

        def take() -> Inputs:
            return _copies(whole, place, place + 1)

        retry = Retry(self._policy)
        made = self._try("a row", take(), take, retry)
        if not isinstance(made, GivenUp):
            outcome.add(made)
            return True
        failure = FailedRow(place, made.error, retry.tries, whole[0][place], columns_of(made.cause))
        give_up(self._step, outcome, [failure])
        return False


def _halves(first: int, last: int) -> list[tuple[int, int]]:
    """Both halves of a range; the first to try comes last."""
    middle = (first + last) // 2
    return [(middle, last), (first, middle)]


def _copies(whole: Inputs, first: int, last: int) -> Inputs:
    return [[copied(row) for row in rows[first:last]] for rows in whole]
