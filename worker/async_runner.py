"""Runs `AsyncStep.process_row`: `concurrency` rows in flight across batches; a slow row holds up only its batch."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from common.broker.commits import Done
from common.errors import Interrupted, RowError, StepFailed
from common.forks import keep_private
from common.raised import StepCode
from common.steps.base import AsyncStep, Row
from common.steps.mappings import apply_input_mappings_to_row, apply_output_mappings_to_row
from worker.isolation import Isolation
from worker.outcome import FailedRow, Outcome, columns_of, give_up
from worker.retry import Again, Halts, Retry, RetryPolicy
from worker.runner import Bench, Runner
from worker.watchdog import LAST_SECONDS
from worker.work import Work

MOST_OPEN = 32
"""Batches that are open at once."""
RowMade = list[Row] | FailedRow


@dataclass(slots=True)
class OpenBatch:
    """A batch whose rows wait or are in flight.

    Args:
        left: rows that are not through.
        abandoned: a row of it waited for a retry when the worker was told to stop: the batch is handed back.
        made: what each row gave, in any order.
    """

    work: Work
    left: int
    started: float = 0.0
    abandoned: bool = False
    made: dict[int, RowMade] = field(default_factory=dict)


class AsyncRunner(Runner):
    """For steps that take one row at a time. Rows are started in the order of their batches."""

    def __init__(self, step: AsyncStep, bench: Bench) -> None:
        super().__init__(step, bench)
        self._step = step
        self._policy = RetryPolicy.of(step)
        routes = bench.packer.routing is not None
        self._isolation = Isolation(step, bench.consumer, self._run_one_row, bench.settings.patience, routes=routes)
        self._events = asyncio.Runner()
        self._context = contextvars.copy_context()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._delivered = 0
        self._accepted = 0
        self._waiting: deque[tuple[OpenBatch, int]] = deque()
        self._running = 0
        self._isolated: deque[Work] = deque()
        self._isolating = False
        self._beats: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._stopped = asyncio.Event()

    def room(self) -> int:
        """Another batch is wanted while fewer rows than `concurrency` wait to be started."""
        arriving = self._delivered - self._accepted
        missing = self._step.concurrency - len(self._waiting)
        if missing <= 0 or self._isolated:
            return 0
        batches = -(-missing // self._step.input_batch_size)
        return min(batches - arriving, MOST_OPEN - self.intake.held)

    def deliver(self, work: Work) -> None:
        """Hands a batch from the intake's thread to the event loop."""
        self._delivered += 1
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._accept, work)

    def stop(self) -> None:
        """Lets the batches that have begun end."""
        self.stopping.set()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def load(self) -> None:
        """Loads the step, then what it keeps on the event loop."""
        super().load()
        _keep_to_this_process(self._events.get_loop())
        self._events.run(self._step.aload(), context=self._context)

    def unload(self) -> None:
        """Unloads in the opposite order."""
        try:
            self._events.run(self._step.aunload(), context=self._context)
        finally:
            self._events.close()
            super().unload()

    def work(self) -> None:
        """Runs the event loop until stopped."""
        loop = self._events.get_loop()
        main = loop.create_task(self._run_loop(), context=self._context)
        while not main.done():
            # A task that a step started and that exits stops the loop; the others are well, and so the loop goes on.
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                loop.run_until_complete(main)
        main.result()

    async def _run_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.intake.start()
        self._beat()
        try:
            if not self.stopping.is_set():
                await self._ended.wait()
            await asyncio.to_thread(self.intake.stop)  # first: what it delivers needs this loop
            self._give_up_waiting()
            while self._running or self._waiting:
                self._ended.clear()
                await self._ended.wait()
        finally:
            if self._beats is not None:
                self._beats.cancel()
            self.watchdog.stop()

    def _wake(self) -> None:
        self._stopped.set()
        self._ended.set()

    def _give_up_waiting(self) -> None:
        """Batches of which no row has begun go back."""
        for batch in {id(batch): batch for batch, _ in self._waiting if not batch.started}.values():
            self.inbox.put(batch.work)
        for work in self._isolated:
            self.inbox.put(work)
        self._isolated.clear()
        self._waiting = deque((batch, place) for batch, place in self._waiting if batch.started)

    def _accept(self, work: Work) -> None:
        self._accepted += 1
        if self.stopping.is_set():
            self.inbox.put(work)
        elif refused := self.refuse(work):
            self.outbox.put(refused)
        elif work.taken.deliveries > self._step.max_deliveries:
            self._isolated.append(work)
        elif work.whole.count:
            batch = OpenBatch(work, work.whole.count)
            self._waiting.extend((batch, place) for place in range(work.whole.count))
        else:
            self._pack(work, Outcome(0), time.perf_counter())
        self._start_rows()

    def _start_rows(self) -> None:
        """Keeps `concurrency` rows in flight; a batch that kills workers waits until it has the worker to itself."""
        while self._waiting and self._running < self._step.concurrency and not self._isolating:
            batch, place = self._waiting.popleft()
            batch.started = batch.started or time.perf_counter()
            self._running += 1
            self._spawn(self._run_row(batch, place))
        if self._isolated and not self._running and not self._waiting:
            self._isolating = True
            self._running += 1
            self._spawn(self._isolate(self._isolated.popleft()))
        self.intake.more_room()

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._through)

    def _through(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._running -= 1
        if task.cancelled():  # by a step that cancels every task that there is
            self.fail(RuntimeError(f"step '{self._step.name}' has cancelled what the worker itself runs"))
        elif (error := task.exception()) is not None:
            self.fail(error)
        self._start_rows()
        if self.stopping.is_set():
            self._wake()

    async def _run_row(self, batch: OpenBatch, place: int) -> None:
        try:
            batch.made[place] = await self._attempt(batch.work.whole.inputs[0][place], place)
        except Interrupted:
            batch.abandoned = True
        batch.left -= 1
        if not batch.left and batch.abandoned:
            self.inbox.put(batch.work)
        elif not batch.left:
            outcome = Outcome(batch.work.whole.count)
            try:
                for number in range(batch.work.whole.count):
                    self._collect(batch.made[number], outcome)
            except StepFailed as error:
                self.outbox.put(self.bench.packer.failure(batch.work.taken, str(error)))
            else:
                await self._pack_aside(batch.work, outcome, batch.started)

    def _collect(self, made: RowMade, outcome: Outcome) -> None:
        if isinstance(made, FailedRow):
            give_up(self._step, outcome, [made])
        else:
            outcome.pieces.append((1, list(made)))

    async def _pack_aside(self, work: Work, outcome: Outcome, started: float) -> None:
        """The rows in flight do not wait for a payload store that takes its time."""
        if self.bench.packer.may_wait:
            await asyncio.to_thread(self._pack, work, outcome, started)
        else:
            self._pack(work, outcome, started)

    def _pack(self, work: Work, outcome: Outcome, started: float) -> None:
        try:
            self.outbox.put(self.bench.packer.pack(work, outcome, time.perf_counter() - started))
        except StepFailed as error:
            self.outbox.put(self.bench.packer.failure(work.taken, str(error)))

    async def _attempt(self, row: Row, place: int) -> RowMade:
        """The row and its retries. A step may change what it is given, so each attempt gets a copy."""
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
                self.complaints.note("a row", verdict.cause)
                return FailedRow(place, verdict.error, retry.tries, row, columns_of(verdict.cause))

    async def _in_time(self, row: Row) -> list[Row]:
        """Calls the step; a row that takes too long is cancelled, and has failed.

        The call is a task of its own, so that a step which cancels the task that it finds itself in, or that lets a
        cancelled future cancel it, ends nothing of ours.
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
            why += f", and went on for {LAST_SECONDS:g} s after it was cancelled"
        call.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # asyncio complains of one unseen
        raise RowError(why)

    async def _call(self, row: Row) -> list[Row]:
        with StepCode():
            made = await self._step.process_row(row)
            return [made] if isinstance(made, dict) else list(made or ())

    def _beat(self) -> None:
        """A step that blocks the event loop cannot be cancelled: then the watchdog ends the worker."""
        if self.watchdog.limit is not None and self._loop is not None:
            self.watchdog.restart()
            self._beats = self._loop.call_later(min(1.0, self.watchdog.limit / 4), self._beat)

    def in_hand(self) -> str:
        """Any of the rows in flight may be what blocks it."""
        return f"the event loop, with {self._running} rows in flight, was blocked"

    def note_late(self, why: str) -> None:
        """A row that runs alone is known to be the one."""
        self._isolation.note_late(why)

    def left_over(self) -> list[Work]:
        """Batches of which no row has begun."""
        waiting = {id(batch): batch.work for batch, _ in list(self._waiting) if not batch.started}
        return [*waiting.values(), *self._isolated, *super().left_over()]

    async def _pause(self, seconds: float) -> None:
        """Waits before a retry; raises Interrupted as soon as the worker is to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)
        if self.stopping.is_set():
            raise Interrupted

    async def _isolate(self, work: Work) -> None:
        started = time.perf_counter()

        def pack(outcome: Outcome) -> Done:
            return self.bench.packer.pack(work, outcome, time.perf_counter() - started)

        try:
            done = await asyncio.to_thread(self._isolation.run, work, pack)
        except Interrupted:
            self.inbox.put(work)
        except StepFailed as error:
            self.outbox.put(self.bench.packer.failure(work.taken, str(error)))
        else:
            if done is None:
                self.intake.forget([work.taken.entry])
            else:
                self.outbox.put(done)
        finally:
            self._isolating = False

    def _run_one_row(self, fresh: Callable[[], Sequence[list[Row]]]) -> Outcome:
        """For isolation, on its thread: one row, run on the event loop."""
        assert self._loop is not None
        row = fresh()[0][0]
        made = asyncio.run_coroutine_threadsafe(self._attempt(row, 0), self._loop).result()
        outcome = Outcome(1)
        self._collect(made, outcome)
        return outcome


def _keep_to_this_process(loop: asyncio.AbstractEventLoop) -> None:
    """A process that the step forks could wake the loop otherwise, or hear in its place."""
    ends = (getattr(loop, name, None) for name in ("_selector", "_ssock", "_csock"))
    keep_private(*(end for end in ends if end is not None))
