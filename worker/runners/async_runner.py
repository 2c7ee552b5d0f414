"""Runs `AsyncStep.process_row`: `concurrency` rows in flight across batches; a slow row holds up only its batch."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from common.broker.commits import Done
from common.errors import Interrupted, StepFailed
from common.llms.answers.row_answers import RowAnswers
from common.process.garbage import collect_less_often, leave_out_what_lasts
from common.protocol.batch import Batch
from common.protocol.usage import Usage
from common.steps.base import AsyncStep, Row
from common.steps.open_batches import open_batches
from worker.batches.batch_work import Work
from worker.batches.outcome import FailedRow, Outcome, give_up
from worker.runners.isolation import Isolation
from worker.runners.row_attempts import RowAttempts, RowMade
from worker.runners.runner import Bench, Runner
from worker.runners.step_loop import StepLoop


@dataclass(slots=True)
class OpenBatch:
    """A batch whose rows wait or are in flight.

    Args:
        left: unfinished rows.
        abandoned: a row waited for a retry when the worker was told to stop: the batch is handed back.
        ends_run: a row of it halts the run; its other rows do not matter any more.
        made: the output of each row, in any order.
    """

    work: Work
    left: int
    started: float = 0.0
    abandoned: bool = False
    ends_run: bool = False
    made: dict[int, RowMade] = field(default_factory=dict)


class AsyncRunner(Runner):
    """For steps that take one row at a time. Rows are started in the order of their batches."""

    def __init__(self, step: AsyncStep, bench: Bench) -> None:
        super().__init__(step, bench)
        self._step = step
        self._attempts = RowAttempts(step, self.complaints, self.waits)
        routes = bench.packer.routing is not None
        self._isolation = Isolation(step, bench.consumer, self._run_one_row, bench.patience, routes=routes)
        self._loop = StepLoop()
        self._arriving: deque[Work] = deque()
        self._waiting: deque[tuple[OpenBatch, int]] = deque()
        self._running = 0
        self._isolated: deque[Work] = deque()
        self._isolating: Batch | None = None
        self._beats: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    def room(self) -> int:
        """Asks for another batch while fewer rows than `concurrency` wait to start."""
        missing = self._step.concurrency - len(self._waiting)
        if missing <= 0 or self._isolated:
            return 0
        batches = -(-missing // self._step.input_batch_size)
        return min(batches - len(self._arriving), open_batches(self._step) - self.intake.held)

    def deliver(self, work: Work) -> None:
        """Hands a batch from the intake's thread to the event loop."""
        self._arriving.append(work)
        self._loop.call(self._accept)

    def stop(self) -> None:
        """Lets started batches finish."""
        self.stopping.set()
        self._loop.call(self._wake)

    def load(self) -> None:
        """Loads the step, then its state on the event loop."""
        super().load()
        self._loop.open()
        self._loop.run(self._step.aload())

    def unload(self) -> None:
        """Unloads in reverse order."""
        try:
            self._loop.run(self._step.aunload())
        finally:
            self._loop.close()
            super().unload()

    def work(self) -> None:
        """Runs the event loop until stopped."""
        collect_less_often()
        leave_out_what_lasts()
        self._loop.run_to_the_end(self._run_rows())

    async def _run_rows(self) -> None:
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
        self._attempts.stop()
        self._ended.set()

    def _give_up_waiting(self) -> None:
        """Hands back batches of which no row has started."""
        for batch in {id(batch): batch for batch, _ in self._waiting if not batch.started}.values():
            self.inbox.put(batch.work)
        for work in self._isolated:
            self.inbox.put(work)
        self._isolated.clear()
        self._waiting = deque((batch, place) for batch, place in self._waiting if batch.started and not batch.ends_run)

    def _accept(self) -> None:
        work = self._arriving.popleft()
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
        """Keeps `concurrency` rows in flight; a batch that kills workers waits until it can run alone."""
        while self._waiting and self._running < self._step.concurrency and not self._isolating:
            batch, place = self._waiting.popleft()
            if batch.ends_run:
                continue
            batch.started = batch.started or time.perf_counter()
            self._running += 1
            self._spawn(self._run_row(batch, place))
        if self._isolated and not self._running and not self._waiting:
            work = self._isolated.popleft()
            self._isolating = work.taken.batch
            self._running += 1
            self._spawn(self._isolate(work))
        self.intake.more_room()

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._through)

    def _through(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._running -= 1
        if task.cancelled():  # by a step that cancels every task
            self.fail(RuntimeError(f"step '{self._step.name}' has cancelled a task of the worker itself"))
        elif (error := task.exception()) is not None:
            self.fail(error)
        self._start_rows()
        if self.stopping.is_set():
            self._wake()

    async def _run_row(self, batch: OpenBatch, place: int) -> None:
        try:
            answers = self._answers(batch.work.taken.batch, place)
            made = batch.made[place] = await self._attempts.run(batch.work.whole.inputs[0][place], place, answers)
        except Interrupted:
            batch.abandoned = True
        else:
            if isinstance(made, FailedRow) and made.ends_run and not batch.ends_run:
                batch.ends_run = True  # told at once, not after the slowest row of the batch
                self.outbox.put(self.bench.packer.failure(batch.work.taken, made.error))
        batch.left -= 1
        if batch.ends_run:
            return
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

    def _answers(self, batch: Batch, place: int) -> RowAnswers | None:
        """The kept answers of a row."""
        if self.bench.answers is None:
            return None
        consumer = self.bench.consumer
        row = (consumer.run_id, consumer.begun, batch.step, batch.seq, place)
        return RowAnswers(self.bench.answers, row, batch.attempt)

    def _collect(self, made: RowMade, outcome: Outcome) -> None:
        if isinstance(made, FailedRow):
            give_up(self._step, outcome, [made])
        else:
            outcome.add(made)

    async def _pack_aside(self, work: Work, outcome: Outcome, started: float) -> None:
        """The rows in flight do not wait for a slow payload store."""
        if self.bench.packer.may_wait:
            await asyncio.to_thread(self._pack, work, outcome, started)
        else:
            self._pack(work, outcome, started)

    def _pack(self, work: Work, outcome: Outcome, started: float) -> None:
        try:
            self.outbox.put(self.bench.packer.pack(work, outcome, time.perf_counter() - started))
        except StepFailed as error:
            self.outbox.put(self.bench.packer.failure(work.taken, str(error)))

    def _beat(self) -> None:
        """A step that blocks the event loop cannot be cancelled; the watchdog then ends the worker."""
        if self.watchdog.limit is not None:
            self.watchdog.restart()
            self._beats = asyncio.get_running_loop().call_later(min(1.0, self.watchdog.limit / 4), self._beat)

    def in_hand(self) -> str:
        """Any of the rows in flight may block it."""
        return f"the event loop, with {self._running} rows in flight, was blocked"

    def spent(self) -> Usage:
        """Of its rows, whatever became of them."""
        return self._attempts.meter.spent

    def note_late(self, why: str) -> None:
        """A row that runs alone is known to be the cause."""
        self._isolation.note_late(why)

    def left_over(self) -> list[Work]:
        """Batches of which no row has started."""
        waiting = {id(batch): batch.work for batch, _ in list(self._waiting) if not batch.started}
        return [*waiting.values(), *self._isolated, *super().left_over()]

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
            self._isolating = None

    def _run_one_row(self, fresh: Callable[[], Sequence[list[Row]]]) -> Outcome:
        """For isolation, on its thread: one row, run on the event loop."""
        assert self._isolating is not None
        answers = self._answers(self._isolating, self._isolation.place)
        made = self._loop.result_of(self._attempts.run(fresh()[0][0], 0, answers))
        outcome = Outcome(1)
        self._collect(made, outcome)
        return outcome
