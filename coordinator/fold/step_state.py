"""One step inside the fold: its input, the batches that are open, its output, and its ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.protocol.batch import PartWritten, Payload, Result
from common.protocol.usage import NO_USAGE, Usage
from coordinator.fold.breaker import Breaker
from coordinator.fold.fork import Fork
from coordinator.fold.inflow import Inflow, OpenBatch
from coordinator.fold.outputs import Output, OutputLog, Unwritten, payloads_of
from coordinator.plan.plan import StepPlan

UNWRITABLE = "could be written; change its output, or start over with --fresh"


@dataclass(slots=True)
class StepCounts:
    """The ledger of one step. Every field but `batches`, `done` and `tickets` counts rows.

    Args:
        batches: batches cut, or produced by a generator.
        done: batches whose result was applied.
        tickets: tickets that a generator has used up.
        taken: whole rows in its batches.
        failed: those of them that became dead letters.
        skipped: those of them that passed the step by.
        lost: positions of a join where a predecessor had a hole.
        out: whole rows in its output.
        holes: holes in its output.
        written: rows of a leaf that are on disk.
        unwritable: rows of a leaf whose values do not fit its schema.
        seconds: time that the step took, summed over all workers.
        usage: of models' answers that its output holds; `saved` is of those that another run has paid for.
    """

    batches: int = 0
    done: int = 0
    tickets: int = 0
    taken: int = 0
    failed: int = 0
    skipped: int = 0
    lost: int = 0
    out: int = 0
    holes: int = 0
    written: int = 0
    unwritable: int = 0
    seconds: float = 0.0
    usage: Usage = NO_USAGE
    saved: Usage = NO_USAGE

    @property
    def given(self) -> int:
        """Rows of `taken` that the step was to process."""
        return self.taken - self.skipped


@dataclass(slots=True, eq=False)
class StepState:
    """State of one step inside the fold.

    Args:
        inflow: what its batches are cut from.
        open: batches whose result is not applied, by seq.
        errors: open batches that failed the run, by seq.
        attempt: failures of a generator at its next batch.
        output_ended: no more outputs will be passed on.
        fork: outputs of a routing step that wait for a choice.
        unwritten: outputs of a leaf that are not on disk yet.
    """

    plan: StepPlan
    inflow: Inflow
    breaker: Breaker
    log: OutputLog = field(default_factory=OutputLog)
    counts: StepCounts = field(default_factory=StepCounts)
    open: dict[int, OpenBatch] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    attempt: int = 0
    output_ended: bool = False
    fork: Fork = field(default_factory=Fork)
    unwritten: Unwritten = field(default_factory=Unwritten)

    @property
    def input_ended(self) -> bool:
        """Whether no more batches will be cut or produced by a generator."""
        return self.inflow.ended

    @property
    def rows_failed(self) -> int:
        """Rows that ended as dead letters, and those that will if the breaker releases them."""
        return self.counts.failed + self.counts.unwritable + sum(result.failed for result in self.breaker.held)

    @property
    def lost_everything(self) -> str:
        """Why nothing is left of a leaf or a generator, because all of its rows failed; empty if something is left.

        Its output is gone by then, and its batches are done: the run cannot retry.
        """
        counts = self.counts
        if self.breaker.rate == 1:
            return ""
        if counts.unwritable and not counts.written:
            return f"none of its {counts.unwritable} rows {UNWRITABLE}"
        if self.plan.kind == "generator" and counts.failed and not counts.out:
            return f"all of its {counts.failed} rows failed; fix the step, and start over with --fresh"
        return ""

    @property
    def in_flight(self) -> int:
        """Batches cut whose result is not in: neither held by the breaker nor failed."""
        return len(self.open) - len(self.breaker.held) - len(self.errors)

    @property
    def is_over(self) -> bool:
        """Whether the results of all batches are in, with no more to come."""
        return self.input_ended and not self.in_flight

    def awaits(self, seq: int, attempt: int) -> bool:
        """Whether a result of this batch and attempt is the first. A generator's next batch has one attempt per
        failure.
        """
        if self.plan.kind == "generator":
            return not self.inflow.ended and (seq, attempt) == (self.inflow.next_seq, self.attempt)
        opened = self.open.get(seq)
        return (
            opened is not None
            and opened.batch.attempt == attempt
            and seq not in self.errors
            and all(result.seq != seq for result in self.breaker.held)
        )

    def cut(self) -> list[OpenBatch]:
        """Cuts and opens every batch that is ready."""
        cut = self.inflow.cut(self.log)
        for opened in cut:
            self.open[opened.batch.seq] = opened
            self.counts.batches += 1
        return cut

    def record(self, result: Result, origin: int | None) -> None:
        """Adds a result to the ledger, and its payloads to the output of the step."""
        counts = self.counts
        counts.done += 1
        counts.taken += result.taken
        counts.failed += result.failed
        counts.skipped += result.skipped
        counts.lost += result.lost
        counts.holes += result.holes
        counts.out += result.rows - result.holes
        counts.seconds += result.seconds
        counts.usage += result.usage
        counts.saved += result.saved
        for payload, chunk in zip(payloads_of(result), result.chunks, strict=True):
            self.log.append(Output(payload, chunk.rows, chunk.size, origin))
        if self.plan.kind == "global":
            self.log.end_at(len(result.chunks))
        elif not result.chunks:
            self.log.append(Output(Payload(result.step, result.seq, result.attempt), 0, 0, origin))
        for place, chosen in enumerate(result.routed or ()):
            self.fork.choices[result.seq + place] = chosen

    def record_made(self, result: Result) -> None:
        """Applies the result of a generator: the breaker may halt it, but there is nothing to hold or to redo."""
        self.breaker.judge(result)
        self.breaker.release()
        self.inflow.next_seq += 1
        self.attempt = 0
        self.counts.batches += 1
        self.counts.tickets += 1
        self.errors.clear()
        if result.last:
            self.inflow.ended = True
            self.log.end_at(self.inflow.next_seq)
        self.record(result, None)

    def record_part(self, part: PartWritten) -> list[Output]:
        """The outputs newly on disk, except for rows that could not be written."""
        if written := self.unwritten.take(part):
            self.counts.written += part.rows
            self.counts.unwritable += part.failed
        return written
