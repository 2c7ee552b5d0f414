"""How a row of an asynchronous step is retried after an error, and ended when it takes too long."""

from __future__ import annotations

import asyncio

from common.building.components import retry_policy
from common.errors import Interrupted, RowError
from common.llms.answers.row_answers import RowAnswers, note_used, use_answers
from common.llms.calls.calling import CallFailed
from common.llms.metering import Meter, Tally, use_tally
from common.llms.waiting import RowClock, Waits, use_clock
from common.process.raised import StepCode, without_frames
from common.steps.base import AsyncStep, Row
from common.steps.mappings import apply_input_mappings_to_row, apply_output_mappings_to_row
from common.steps.retry import Again, GivenUp, Halts, Retry
from common.steps.tasks.asking import BadAnswer
from worker.batches.outcome import FailedRow, MadeRows, columns_of
from worker.host.watchdog import LAST_SECONDS
from worker.runners.complaints import Complaints
from worker.runners.copies import copied

RowMade = MadeRows | FailedRow
NOT_OF_AN_ANSWER = (CallFailed, OSError)
"""Errors of a row after which the answers that it had are as good as before."""
_SHORTEST_LOOK = 0.05
"""Seconds between two looks at the clock of a row that waits."""


class RowAttempts:
    """Runs rows of one step, on an event loop.

    Args:
        step: loaded.
        complaints: logs the errors of rows that are given up.
        waits: is told what rows wait for.

    Attributes:
        meter: what all calls of models in these rows took.
    """

    def __init__(self, step: AsyncStep, complaints: Complaints, waits: Waits) -> None:
        self._step = step
        self._policy = retry_policy(step)
        self._complaints = complaints
        self._waits = waits
        self.meter = Meter()

    def stop(self) -> None:
        """Ends all waits, for a retry or for an endpoint; call it on the event loop."""
        self._waits.stop()

    async def run(self, row: Row, place: int, answers: RowAnswers | None = None) -> RowMade:
        """Runs a row, with its retries. A step may change its input, so each attempt gets a copy.

        Args:
            answers: the kept answers of the row; None if none are kept.

        Raises:
            Interrupted: the worker must stop, and the row waits for a retry or an endpoint.
        """
        retry = Retry(self._policy)
        while True:
            clock, tally = RowClock(self._waits), Tally(self.meter)
            try:
                mapped, aside = apply_input_mappings_to_row(self._step, copied(row))
                rows = await self._in_time(mapped, clock, tally, answers)
                if clock.was_interrupted:  # the step has caught the exception
                    raise Interrupted
                for one in rows:
                    if not isinstance(one, dict):
                        raise RowError(f"process_row of step '{self._step.name}' returned a {type(one).__name__}")
                done = [apply_output_mappings_to_row(self._step, one, aside) for one in rows]
                return MadeRows(done, tally.usage, tally.saved)
            except Exception as error:
                if clock.was_interrupted:
                    raise Interrupted from None
                verdict = retry.after(error)
                if answers is not None and isinstance(error, NOT_OF_AN_ANSWER):
                    answers.find_again()
                if isinstance(verdict, GivenUp):
                    self._complaints.note("a row", verdict.cause)
                without_frames(error)
            if isinstance(verdict, Again):
                await clock.wait(seconds=verdict.seconds)
            elif isinstance(verdict, Halts):
                return FailedRow(place, verdict.error, retry.tries, row, ends_run=True)
            else:
                return FailedRow(place, verdict.error, retry.tries, row, columns_of(verdict.cause))

    async def _in_time(self, row: Row, clock: RowClock, tally: Tally, answers: RowAnswers | None) -> list[Row]:
        """Calls the step; a row that takes too long is cancelled and fails. Its waits for an endpoint do not count.

        The call is a separate task, so that a step that cancels its own task, or lets a cancelled future cancel it,
        ends nothing of Penstock's.
        """
        limit = self._step.batch_timeout
        call = asyncio.get_running_loop().create_task(self._call(row, clock, tally, answers))
        if limit is None:
            with StepCode():
                return await call
        while not call.done() and (left := limit - clock.worked) > 0:
            await asyncio.wait((call,), timeout=max(left, _SHORTEST_LOOK))
        if call.done():
            with StepCode():
                return call.result()
        call.cancel()
        await asyncio.wait((call,), timeout=LAST_SECONDS)
        why = f"the row took longer than {limit:g} s (batch_timeout)"
        if not call.done():
            why += f", and ran on for {LAST_SECONDS:g} s after being cancelled"
        call.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # else asyncio complains
        raise RowError(why)

    async def _call(self, row: Row, clock: RowClock, tally: Tally, answers: RowAnswers | None) -> list[Row]:
        use_clock(clock)
        use_tally(tally)
        use_answers(answers)
        with StepCode():
            used = note_used()
            try:
                made = await self._step.process_row(row)
            except BadAnswer:
                used.reject()
                raise
            return [made] if isinstance(made, dict) else list(made or ())
