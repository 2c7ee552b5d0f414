"""Runs `Step.process` on the main thread, one batch at a time; other threads read ahead and commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from common.broker.commits import Done
from common.errors import Interrupted, StepFailed
from common.protocol.batch import Batch
from common.protocol.usage import Usage
from common.steps.base import Row, Step
from worker.batches.batch_work import Work
from worker.batches.outcome import Outcome
from worker.runners.attempts import Attempts
from worker.runners.isolation import Isolation
from worker.runners.runner import Bench, Runner

AHEAD_SECONDS = 0.05
"""Seconds of work read ahead: fast steps need many batches, slow ones must not withhold them from other workers."""
AHEAD_BYTES = 32 << 20
MOST_AHEAD = 64


class SyncRunner(Runner):
    """For steps whose `process` takes whole batches."""

    def __init__(self, step: Step, bench: Bench) -> None:
        super().__init__(step, bench)
        self._step = step
        self._attempts = Attempts(step, self.pause, self.complaints, self.watchdog.watch)
        routes = bench.packer.routing is not None
        self._isolation = Isolation(step, bench.consumer, self._run_one_row, bench.patience, routes=routes)
        self._batch_seconds = AHEAD_SECONDS
        self._batch: Batch | None = None

    def room(self) -> int:
        """One batch in hand and one ahead; more if they are small and take less than `AHEAD_SECONDS`."""
        fitting = min(AHEAD_SECONDS / self._batch_seconds, AHEAD_BYTES / max(1, self.intake.batch_bytes))
        return min(MOST_AHEAD, max(2, int(fitting))) - self.intake.held

    def work(self) -> None:
        """Takes batches from the inbox and runs them."""
        self.intake.start()
        while not self.stopping.is_set():
            work = self.inbox.get()
            if work is None:
                continue
            if self.stopping.is_set():
                self.inbox.put(work)
                return
            started = time.perf_counter()
            self._batch = work.taken.batch
            done = self.refuse(work) or self._run(work, started)
            if done is not None:
                self.outbox.put(done)
            self._note_pace(time.perf_counter() - started)

    def _run(self, work: Work, started: float) -> Done | None:
        try:
            if work.taken.deliveries <= self._step.max_deliveries:
                outcome = Outcome(0)
                if not work.whole.is_set_aside:
                    outcome = self._attempts.run(Rows(work), self.answers_of(work.taken.batch))
                return self.pack(work, outcome, time.perf_counter() - started)
            done = self._isolation.run(work, lambda made: self.pack(work, made, time.perf_counter() - started))
            if done is None:
                self.intake.forget([work.taken.entry])
            return done
        except Interrupted:
            self.inbox.put(work)
            return None
        except StepFailed as error:
            return self.bench.packer.failure(work.taken, str(error))

    def _run_one_row(self, fresh: Callable[[], Sequence[list[Row]]]) -> Outcome:
        """For isolation."""
        assert self._batch is not None
        return self._attempts.run(fresh, self.answers_of(self._batch, self._isolation.place))

    def in_hand(self) -> str:
        """The batch passed to `process`."""
        return f"batch {self._batch.seq}" if self._batch else super().in_hand()

    def spent(self) -> Usage:
        """In all batches, whatever became of them."""
        return self._attempts.meter.spent

    def note_late(self, why: str) -> None:
        """A row that runs alone is known to be the cause."""
        self._isolation.note_late(why)

    def pack(self, work: Work, outcome: Outcome, seconds: float) -> Done:
        """The commit of a finished batch."""
        return self.bench.packer.pack(work, outcome, seconds)

    def _note_pace(self, seconds: float) -> None:
        self._batch_seconds = max(1e-6, 0.8 * self._batch_seconds + 0.2 * seconds)


class Rows:
    """The whole rows of a batch: read ahead the first time, reread each time after."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._first = True

    def __call__(self) -> tuple[list[Row], ...]:
        if self._first:
            self._first = False
            return self._work.whole.inputs
        return self._work.again().inputs
