"""Runs `GeneratorStep.process`: one batch per ticket, by one worker at a time, from where the last one stopped."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from common.broker.commits import Done
from common.broker.digests import note_digests
from common.broker.generators import GeneratorOwnership
from common.broker.inbox import Taken
from common.building.components import retry_policy
from common.errors import RowError, RunError, StepFailed, UsageError
from common.llms.answers.row_answers import BatchAnswers
from common.llms.metering import Meter, Tally, use_tally
from common.llms.waiting import RowClock, use_clock
from common.process.raised import StepCode
from common.protocol.batch import Batch, Failure
from common.protocol.generator_state import GeneratorState
from common.protocol.usage import Usage
from common.steps.base import GeneratorStep, GeneratorStepOutput, Row
from common.steps.loading.file_loader import FileLoader
from common.steps.mappings import apply_output_mappings_to_row
from common.steps.retry import Again, GivenUp, Retry
from worker.batches.batch_work import Work, describe_short
from worker.batches.holes import WholeRows
from worker.batches.outcome import FailedRow, MadeRows, Outcome, died, failed_output
from worker.batches.taker import LONGEST_BLOCK
from worker.runners.attempts import no_yield
from worker.runners.batch_answers import one_call
from worker.runners.runner import Bench, Runner

TICKETS = 32
"""Most tickets held at once."""
TOGETHER_SECONDS = 0.02
"""Seconds; batches made within this time are committed together."""


@dataclass(frozen=True, slots=True)
class Made:
    """The commit of a ticket, and the generator's position after it."""

    done: Done
    state: GeneratorState


class GeneratorRunner(Runner):
    """Serves a generator while it owns it; otherwise waits for the owner to die."""

    def __init__(self, step: GeneratorStep, bench: Bench) -> None:
        super().__init__(step, bench)
        self._generator = step
        self._ownership = GeneratorOwnership(bench.consumer, bench.settings.worker_lease)
        self._policy = retry_policy(step)
        self._retry = Retry(self._policy)
        self._owns = False
        self._careful = 0
        self._offset = 0
        self._tickets: deque[Work] = deque()
        self._source: GeneratorStepOutput = iter(())
        self._asked = GeneratorCalls(self.answers_of)

    def room(self) -> int:
        """Only the owner takes tickets."""
        return TICKETS - self.intake.held if self._owns else 0

    def work(self) -> None:
        """Serves the generator whenever no other worker that is alive does."""
        self.intake.start()
        while not self.stopping.is_set():
            state = self._own()
            if state is None:
                self.hand_back(self.left_over())
                self._tickets.clear()
                self.stopping.wait(min(LONGEST_BLOCK, self.bench.settings.worker_lease / 2))
                continue
            self.intake.more_room()
            self._source = chunks(self._generator, state.offset, self.bench)
            # Batches that the dead owner had made but not committed: one by one shows which one kills.
            self._careful = TICKETS if state.deaths else self._careful
            self._serve(state)

    def stop(self) -> None:
        """Ends the generator's waits for an endpoint as well."""
        super().stop()
        self.waits.stop_soon()

    def spent(self) -> Usage:
        """In all batches, whatever became of them."""
        return self._asked.meter.spent

    def left_over(self) -> list[Work]:
        """Tickets without a batch."""
        return [*self._tickets, *super().left_over()]

    def in_hand(self) -> str:
        """The generator's position."""
        return f"the rows from row {self._offset} on"

    def _own(self) -> GeneratorState | None:
        state = self.bench.patience.insist(self._ownership.own)
        self._owns = state is not None
        return state

    def _serve(self, state: GeneratorState) -> None:
        """Makes a batch for each ticket, until a commit shows that the broker has another position."""
        self._retry = Retry(self._policy)
        while not self.stopping.is_set():
            self._wait_for_tickets()
            if self.stopping.is_set() or not self._tickets:
                continue
            if state.ended:
                if not self._void():
                    return
                continue
            made, again = self._make_together(state)
            if made:
                if not self._commit(made) or isinstance(made[-1].done.result, Failure):
                    return
                state = made[-1].state
            if again is not None:
                self.stopping.wait(again.seconds)
                self._source = chunks(self._generator, state.offset, self.bench)

    def _wait_for_tickets(self) -> None:
        if not self._tickets:
            first = self.inbox.get()
            self._tickets.extend([first] if first else [])
        while not self.inbox.empty():
            ticket = self.inbox.get()
            self._tickets.extend([ticket] if ticket else [])

    def _void(self) -> bool:
        """Voids the remaining tickets; returns False if the broker has forgotten the end of the generator."""
        entries = [ticket.taken.entry for ticket in self._tickets]
        self._tickets.clear()
        has_ended = self.bench.patience.insist(lambda: self._ownership.void(entries))
        self.intake.forget(entries)
        if not has_ended:
            self.intake.compare()
        return has_ended

    def _make_together(self, state: GeneratorState) -> tuple[list[Made], Again | None]:
        """Batches for some of the tickets and, if the generator raised after them, when to call it again."""
        made: list[Made] = []
        deadline = time.monotonic() + (0 if self._careful else TOGETHER_SECONDS)
        self._careful = max(0, self._careful - 1)
        while self._tickets and (not made or time.monotonic() < deadline):
            one = self._make(self._tickets[0].taken, state)
            if isinstance(one, Again):
                return made, one  # earlier ones do not wait
            self._tickets.popleft()
            made.append(one)
            state = one.state
            if isinstance(one.done.result, Failure) or state.ended or self.stopping.is_set():
                break
        return made, None

    def _make(self, ticket: Taken, state: GeneratorState) -> Made | Again:
        """A generator that raises is reopened `retries` times, then the run fails.

        Raises:
            StoreError: the payload store does not accept the rows.
        """
        ticket = replace(ticket, batch=Batch(self._generator.name, state.seq, state.attempt))
        packer = self.bench.packer
        if state.deaths >= self._generator.max_deliveries:
            error = f"{died(self._generator, state.deaths)} while making rows from row {state.offset} on"
            return Made(packer.failure(ticket, error), state)
        started = time.perf_counter()
        self._offset = state.offset
        clock = RowClock(self.waits)
        use_clock(clock)
        try:
            with self._asked.one_batch(ticket.batch) as tally, self.watchdog.watch(), StepCode():
                rows, last = next(self._source)
            found, failed = self._sorted_out(rows)
            made = MadeRows(found, tally.usage, tally.saved)
        except StepFailed as error:
            return Made(packer.failure(ticket, str(error)), state)
        except Exception as error:
            if clock.was_interrupted:
                return Again(0.0)  # the worker stops
            self.complaints.note(f"the batch at row {state.offset}", error)
            verdict = self._retry.after(error)
            if isinstance(verdict, Again):
                return verdict
            where = f"the generator raised at row {state.offset}: " if isinstance(verdict, GivenUp) else ""
            return Made(packer.failure(ticket, where + verdict.error), state)
        self._retry = Retry(self._policy)
        taken = len(made.rows)
        whole = WholeRows((), tuple(range(taken)), taken, 0)
        outcome = Outcome(taken, failed=failed)
        outcome.add(made, taken)
        try:
            done = packer.pack(Work(ticket, whole, lambda: whole), outcome, time.perf_counter() - started, last=last)
        except StepFailed as error:
            return Made(packer.failure(ticket, str(error)), state)
        return Made(done, GeneratorState(state.seq + 1, state.offset + taken, 0, last))

    def _sorted_out(self, rows: Sequence[Row | RowError]) -> tuple[list[Row | None], list[FailedRow]]:
        """The rows as they leave the step, and those that it could not make.

        Raises:
            StepFailed: `on_error` says `fail`.
        """
        step = self._generator
        found: list[Row | None] = []
        failed = []
        for place, row in enumerate(rows):
            if isinstance(row, dict):
                found.append(apply_output_mappings_to_row(step, row, None))
                continue
            error = describe_short(row)
            if step.on_error == "fail":
                raise StepFailed(error)
            failed.append(FailedRow(place, error, 1, dict(row.columns) or None))
            found.append(failed_output(step, {}, row.columns))
        return found, failed

    def _commit(self, made: list[Made]) -> bool:
        self.spending.write()  # what is kept was spent
        ready = [(one.done, one.state.offset) for one in made]
        landed = self.bench.patience.insist(lambda: self._ownership.commit(ready))
        self.intake.forget([one.done.taken.entry for one in made])
        if not all(landed):
            self.intake.compare()
        elif made[-1].state.ended and isinstance(self._generator, FileLoader):
            self._note_digests(self._generator)
        return all(landed)

    def _note_digests(self, loader: FileLoader) -> None:
        """Lets the same data be recognized, whatever times its files have."""
        digests = loader.digests()
        if any(digests):
            with suppress(RunError):  # they are not needed for this run
                note_digests(self.bench.consumer.connection, self.bench.consumer.keys, loader.name, digests)


class GeneratorCalls:
    """What a generator asks models for while it makes a batch.

    Args:
        answers_of: the kept answers of a batch.

    Attributes:
        meter: what all its calls took.
    """

    def __init__(self, answers_of: Callable[[Batch], BatchAnswers | None]) -> None:
        self.meter = Meter()
        self._answers_of = answers_of
        self._batch: Batch | None = None
        self._answers: BatchAnswers | None = None

    @contextmanager
    def one_batch(self, batch: Batch) -> Iterator[Tally]:
        """Around one call; a batch that is tried again has the answers that it had, and asks anew for bad ones."""
        if batch != self._batch:
            self._batch, self._answers = batch, self._answers_of(batch)
        tally = Tally(self.meter)
        use_tally(tally)
        with one_call(self._answers, alone=True):
            yield tally


def chunks(step: GeneratorStep, offset: int, bench: Bench) -> GeneratorStepOutput:
    """The generator's rows from `offset` on, in batches of at most `batch_size`; the last batch is marked.

    Raises:
        UsageError: it returns a value instead of yielding.
        RowError: it yields something other than (list of rows, last).
    """
    left = None if bench.rows_limit is None else max(0, bench.rows_limit - offset)
    given: object = step.process(offset=offset)
    if not isinstance(given, Iterable):
        raise UsageError(no_yield(step, given))
    for yielded in given:
        if not (isinstance(yielded, tuple) and len(yielded) == 2 and isinstance(yielded[0], list)):
            if isinstance(given, list | tuple):
                raise UsageError(no_yield(step, given))
            raise RowError(f"process of generator '{step.name}' must yield (list of rows, is it the last batch)")
        rows, last = yielded
        for row in rows:
            if not isinstance(row, dict | RowError):
                raise RowError(f"process of generator '{step.name}' yields a {type(row).__name__} instead of a row")
        if left is not None:
            last = last or len(rows) >= left
            rows = rows[:left]
            left -= len(rows)
        starts = range(0, max(len(rows), 1), step.batch_size)
        for start in starts:
            ends = (last and start == starts[-1]) or bench.first_batch_only
            yield rows[start : start + step.batch_size], ends
            if ends:
                return
    yield [], True
