"""How a row of an asynchronous step is retried after an error, and ended when it takes too long."""

from __future__ import annotations

import asyncio
import contextlib
import copy

from common.errors import Interrupted, RowError
from common.process.raised import StepCode
from common.steps.base import AsyncStep, Row
from common.steps.mappings import apply_input_mappings_to_row, apply_output_mappings_to_row
from worker.batches.outcome import FailedRow, columns_of
from worker.host.watchdog import LAST_SECONDS
from worker.runners.complaints import Complaints
from worker.runners.retry import Again, Halts, Retry, RetryPolicy

RowMade = list[Row] | FailedRow


class RowAttempts:
    """Runs rows of one step, on an event loop.

    Args:
        step: loaded.
        complaints: logs the errors of rows that are given up.
    """

    def __init__(self, step: AsyncStep, complaints: Complaints) -> None:
        self._step = step
        self._policy = RetryPolicy.of(step)
        self._complaints = complaints
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Stops all retries; call it on the event loop."""
        self._stopped.set()

    async def run(self, row: Row, place: int) -> RowMade:
        """Runs a row, with its retries. A step may change its input, so each attempt gets a copy.

        Raises:
            Interrupted: the worker must stop, and the row waits for a retry.
        """
        retry = Retry(self._policy)
        while True:
            try:
                mapped, aside = apply_input_mappings_to_row(self._step, copy.deepcopy(row))
                rows = await self._in_time(mapped)
                for one in rows:
                    if not isinstance(one, dict):
                        raise RowError(f"process_row of step '{self._step.name}' returned a {type(one).__name__}")
                return [apply_output_mappings_to_row(self._step, one, aside) for one in rows]
            except Exception as error:
                verdict = retry.after(error)
            if isinstance(verdict, Again):
                await self._pause(verdict.seconds)
            elif isinstance(verdict, Halts):
                return FailedRow(place, verdict.error, retry.tries, row, ends_run=True)
            else:
                self._complaints.note("a row", verdict.cause)
                return FailedRow(place, verdict.error, retry.tries, row, columns_of(verdict.cause))

    async def _in_time(self, row: Row) -> list[Row]:
        """Calls the step; a row that takes too long is cancelled and fails.

        The call is a separate task, so that a step that cancels its own task, or lets a cancelled future cancel it,
        ends nothing of Penstock's.
        """
        limit = self._step.batch_timeout
        call = asyncio.get_running_loop().create_task(self._call(row))
        if limit is None:
            with StepCode():
                return await call
        await asyncio.wait((call,), timeout=limit)
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

    async def _call(self, row: Row) -> list[Row]:
        with StepCode():
            made = await self._step.process_row(row)
            return [made] if isinstance(made, dict) else list(made or ())

    async def _pause(self, seconds: float) -> None:
        """Waits before a retry; raises Interrupted as soon as the worker must stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)
        if self._stopped.is_set():
            raise Interrupted
