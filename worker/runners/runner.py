"""The common part of all runners: batches come in from the intake, results go out to the outbox."""

from __future__ import annotations

import logging
import os
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from common.broker.commits import Commits, Done
from common.broker.consumer import Consumer
from common.broker.inbox import Inbox
from common.broker.patience import Patience
from common.broker.spending import Spending
from common.broker.step_notes import StepNotes
from common.errors import EXIT_TIMEOUT, BrokerError, Interrupted, RunError
from common.llms.answers.kept import Answers
from common.llms.answers.row_answers import BatchAnswers
from common.llms.waiting import Waits
from common.protocol.batch import Batch
from common.protocol.usage import Usage
from common.settings import Settings
from common.steps.base import BaseStep
from common.steps.skip_rule import SkipRule
from worker.batches.batch_work import Packer, Work
from worker.batches.intake import Intake
from worker.batches.outbox import Outbox
from worker.batches.payload_reader import PayloadReader
from worker.host.watchdog import LAST_SECONDS, Watchdog
from worker.runners.complaints import Complaints
from worker.runners.first_batch import FirstBatch

logger = logging.getLogger("penstock.worker")


@dataclass(frozen=True, slots=True)
class Bench:
    """What a runner needs.

    Args:
        rows_limit: most rows that a generator may make; None for no limit.
        first_batch_only: a dry run: a generator makes one batch.
        check_columns: the columns of this step's rows were unknown before the run.
        answers: None if they are not kept.
        last_words: called before the worker leaves in the middle of a batch, to send its log.
        counts_usage: the coordinator reads what calls of models took.
    """

    consumer: Consumer
    reader: PayloadReader
    packer: Packer
    settings: Settings
    rows_limit: int | None = None
    first_batch_only: bool = False
    check_columns: bool = False
    answers: Answers | None = None
    last_words: Callable[[], None] = lambda: None
    counts_usage: bool = False

    @property
    def patience(self) -> Patience:
        """With the broker."""
        return Patience(self.consumer.connection, self.settings.patience, logger.warning)


class Runner(ABC):
    """Runs a loaded step until it is stopped.

    `run` blocks; `stop` may be called from any thread or signal handler: the batches in hand are finished, those that
    were only taken are handed back.

    Attributes:
        waits: what rows in hand wait for.
    """

    def __init__(self, step: BaseStep, bench: Bench) -> None:
        self.step = step
        self.bench = bench
        self.stopping = threading.Event()
        self.error: BaseException | None = None
        self.complaints = Complaints(step.name)
        self.waits = Waits()
        self._first_batch = FirstBatch(step, StepNotes(bench.consumer))
        self.inbox: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        rule = SkipRule.of(step)
        self.intake = Intake(bench.consumer, bench.reader, bench.settings, self.room, self.deliver, self.fail, rule)
        self.spending = Spending(bench.consumer, self.spent, enabled=bench.counts_usage)
        commits = Commits(bench.consumer, self.spending)
        self.outbox = Outbox(commits, bench.patience, self.intake.forget, self.fail)
        self.watchdog = Watchdog(step.batch_timeout, self._leave_late)

    def load(self) -> None:
        """Loads the step; a runner that has an event loop loads what belongs to it as well."""
        self.step.load()

    def unload(self) -> None:
        """Called on an orderly end, once `load` has succeeded."""
        try:
            self.step.unload()
        finally:
            if self.bench.answers is not None:
                self.bench.answers.close()

    def run(self) -> None:
        """Works until stopped.

        Raises:
            PenstockError: the broker is gone for good, or something it holds is not what this version writes.
        """
        self.outbox.start()
        try:
            self.work()
        except BrokerError as error:  # it was waited for: nothing can be handed back
            self.error = self.error or error
        finally:
            self.intake.stop()
            try:
                self.hand_back(self.left_over())
            finally:
                self.outbox.close()
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """Asks `run` to return soon."""
        self.stopping.set()
        self.inbox.put(None)

    def fail(self, error: BaseException) -> None:
        """A thread has ended with an error: the worker cannot go on."""
        self.error = self.error or error
        self.stop()

    def deliver(self, work: Work) -> None:
        """Called by the intake with each batch."""
        self.inbox.put(work)

    @abstractmethod
    def room(self) -> int:
        """How many more batches are needed now; called by the intake."""

    @abstractmethod
    def work(self) -> None:
        """Starts the intake and runs batches until `stopping` is set."""

    def left_over(self) -> list[Work]:
        """Batches delivered but not started."""
        left = []
        while not self.inbox.empty():
            work = self.inbox.get()
            if work is not None:
                left.append(work)
        return left

    def hand_back(self, left: Sequence[Work]) -> None:
        """Hands batches back as soon as the broker is reachable."""
        taken = [work.taken for work in left]
        if left and self.error is None:
            self.bench.patience.insist(lambda: Inbox(self.bench.consumer).hand_back(taken))
            self.intake.forget([one.entry for one in taken])

    def refuse(self, work: Work) -> Done | None:
        """The failure of a batch that cannot run at all: its rows are gone, all lack a column, or one fails already."""
        if work.broken is not None:
            return self.bench.packer.failure(work.taken, str(work.broken))
        if self.bench.check_columns and (complaint := self._first_batch.complaint(work)):
            return self.bench.packer.failure(work.taken, complaint)
        if self.step.on_error == "fail" and work.whole.undecided:
            _, why = next(iter(work.whole.undecided.values()))
            return self.bench.packer.failure(work.taken, why)
        return None

    def answers_of(self, batch: Batch, place: int = -1) -> BatchAnswers | None:
        """The kept answers of a batch, or of a row that runs alone, for a step that takes batches."""
        if self.bench.answers is None:
            return None
        consumer = self.bench.consumer
        whose = (consumer.run_id, consumer.begun, batch.step, batch.seq, place)
        return BatchAnswers(self.bench.answers, whose, batch.attempt)

    def in_hand(self) -> str:
        """What the step is working on, for the log."""
        return "a batch"

    def spent(self) -> Usage:
        """What calls of models have taken so far, whatever became of them."""
        return Usage()

    def note_late(self, why: str) -> None:  # noqa: B027
        """Leaves a note for the next worker about what took too long, if known."""

    def _leave_late(self, where: str) -> None:
        """The step exceeded its `batch_timeout`: the process ends, and others do the work in hand.

        Started work counts as delivered; work not started is handed back; finished work is committed.
        """
        why = f"it took longer than {self.step.batch_timeout:g} s (batch_timeout)"
        logger.error(
            "step '%s': %s: %s; this worker leaves. It was at:\n%s", self.step.name, self.in_hand(), why, where.rstrip()
        )

        def in_good_order() -> None:
            with suppress(RunError):
                self.note_late(why)
                self.intake.stop()
                self.hand_back(self.left_over())
                self.outbox.close()
            if self.bench.answers is not None:
                self.bench.answers.close()
            self.bench.last_words()

        # A broker that does not answer must not delay this.
        last = threading.Thread(target=in_good_order, name="leave", daemon=True)
        last.start()
        last.join(LAST_SECONDS)
        os._exit(EXIT_TIMEOUT)

    def pause(self, seconds: float) -> None:
        """Waits before a retry.

        Raises:
            Interrupted: the worker must stop.
        """
        if self.stopping.wait(seconds):
            raise Interrupted
