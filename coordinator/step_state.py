"""One step inside the fold: how its batches are cut from what its predecessors put out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from common.batch import Batch, Input, PartWritten
from coordinator.breaker import Breaker
from coordinator.outputs import Closing, Edge, Output, OutputLog
from coordinator.plan import StepPlan

UNWRITABLE = "could be written; change what it gives, or start over with --fresh"


@dataclass(slots=True, eq=False)
class OpenBatch:
    """A batch without an applied result, and the outputs that it keeps alive."""

    batch: Batch
    origin: int | None
    holds: list[Output]


@dataclass(slots=True)
class Choice:
    """Where one output of a routing step went. `outer` is its own origin, where routing steps are nested."""

    origin: int
    branches: tuple[str, ...]
    outer: int | None


@dataclass(slots=True)
class StepCounts:
    """The ledger of one step. Every field but `batches`, `done` and `tickets` counts rows.

    Args:
        batches: batches cut, or made by a generator.
        done: batches whose result was applied.
        tickets: tickets that a generator has used up.
        taken: whole rows that the step was given.
        failed: of those, dead letters.
        lost: positions of a join where a predecessor had a hole.
        out: whole rows that it put out.
        holes: holes that it put out.
        written: rows of a leaf that are on disk.
        unwritable: rows of a leaf whose values could not join its schema.
        seconds: time that the step took, over all workers.
    """

    batches: int = 0
    done: int = 0
    tickets: int = 0
    taken: int = 0
    failed: int = 0
    lost: int = 0
    out: int = 0
    holes: int = 0
    written: int = 0
    unwritable: int = 0
    seconds: float = 0.0


@dataclass(slots=True, eq=False)
class StepState:
    """State of one step inside the fold.

    Args:
        open: batches whose result is not applied, by seq.
        errors: open batches that failed the run, by seq.
        next_seq: seq of the next batch to cut, or to be made by a generator.
        attempt: failures of a generator at that batch.
        input_ended: no more batches will be cut.
        output_ended: no more outputs will be handed on.
        unrouted: outputs of a routing step that wait for a choice, with the marks between them.
        choices: choices known for outputs that wait for one before them.
        routes: for a convergence step, what the routing step chose, in order.
        unwritten: outputs of a leaf that are not on disk.
        unwritable_in_a_row: rows of a leaf that could not be written, since one could or the run was reopened.
    """

    plan: StepPlan
    edges: list[Edge]
    breaker: Breaker
    log: OutputLog = field(default_factory=OutputLog)
    counts: StepCounts = field(default_factory=StepCounts)
    open: dict[int, OpenBatch] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    next_seq: int = 0
    attempt: int = 0
    input_ended: bool = False
    output_ended: bool = False
    unrouted: deque[Output | Closing] = field(default_factory=deque)
    choices: dict[int, tuple[str, ...]] = field(default_factory=dict)
    routes: deque[Choice | Closing] = field(default_factory=deque)
    routes_ended: bool = False
    unwritten: deque[Output] = field(default_factory=deque)
    unwritable_in_a_row: int = 0

    @property
    def rows_failed(self) -> int:
        """Rows that ended as dead letters, and those that will where the breaker lets go of them."""
        return self.counts.failed + self.counts.unwritable + sum(result.failed for result in self.breaker.held)

    @property
    def lost_everything(self) -> str:
        """Why nothing is left of a leaf, or of a generator, of whose rows each one failed; empty where something is.

        What it gave is gone by then, and its batches are done: the run cannot try again.
        """
        counts = self.counts
        if self.breaker.rate == 1:
            return ""
        if counts.unwritable and not counts.written:
            return f"none of its {counts.unwritable} rows {UNWRITABLE}"
        if self.plan.kind == "generator" and counts.failed and not counts.out:
            return f"none of its {counts.failed} rows came; mend what makes them, and start over with --fresh"
        return ""

    def note_part(self, part: PartWritten) -> None:
        """Outputs of the leaf are on disk, but for rows that could not be written."""
        self.counts.written += part.rows
        self.counts.unwritable += part.failed
        self.unwritable_in_a_row = 0 if part.rows else self.unwritable_in_a_row + part.failed

    @property
    def in_flight(self) -> int:
        """Batches cut whose result is not in: neither held by the breaker nor failed."""
        return len(self.open) - len(self.breaker.held) - len(self.errors)

    @property
    def is_over(self) -> bool:
        """Is the result of every batch in that there will be?"""
        return self.input_ended and not self.in_flight

    def awaits(self, seq: int, attempt: int) -> bool:
        """Is a result of this batch and attempt the first one? A generator's next batch has one attempt per failure."""
        if self.plan.kind == "generator":
            return not self.input_ended and (seq, attempt) == (self.next_seq, self.attempt)
        opened = self.open.get(seq)
        return (
            opened is not None
            and opened.batch.attempt == attempt
            and seq not in self.errors
            and all(result.seq != seq for result in self.breaker.held)
        )

    def cut(self) -> list[OpenBatch]:
        """Cuts every batch that is ready, and notes the closed spans and the end of the input."""
        if self.input_ended or self.plan.kind == "generator":
            return []
        if self.plan.kind == "global":
            return self._cut_everything()
        if self.plan.converges:
            cut = self._cut_choices()
            ended = self.routes_ended and not self.routes
        else:
            cut = self._cut_spans()
            ended = all(edge.exhausted for edge in self.edges)
        if ended:
            self.input_ended = True
            self.log.end_at(self.next_seq)
        return cut

    def _cut_spans(self) -> list[OpenBatch]:
        """`batch_size` rows from the head of each predecessor; at the end of a span, what is left of each."""
        cut: list[OpenBatch] = []
        size = self.plan.batch_size
        while True:
            heads = [edge.head for edge in self.edges if edge.head]
            if len(heads) < len(self.edges):
                return cut
            if all(head.closed and not head.rows for head in heads):
                self.log.close_at(self.next_seq, heads[0].origin)
                for edge in self.edges:
                    edge.pop()
            elif all(head.closed or head.rows >= size for head in heads):
                holds: list[Output] = []
                inputs = tuple(edge.take(size, holds) for edge in self.edges)
                cut.append(self._open(inputs, heads[0].origin, holds))
            else:
                return cut

    def _cut_choices(self) -> list[OpenBatch]:
        """For each routed batch in order, everything that the branches chosen for it made of it."""
        cut: list[OpenBatch] = []
        while self.routes:
            choice = self.routes[0]
            if isinstance(choice, Closing):
                self.log.close_at(self.next_seq, choice.origin)
                self.routes.popleft()
                continue
            chosen = [edge for edge in self.edges if edge.branch in choice.branches]
            heads = [edge.head for edge in chosen if edge.head and edge.head.closed]
            if len(heads) < len(chosen):
                break
            holds: list[Output] = []
            inputs = tuple(edge.take(head.rows, holds) for edge, head in zip(chosen, heads, strict=True))
            for edge in chosen:
                edge.pop()
            self.routes.popleft()
            if holds:
                cut.append(self._open(inputs, choice.outer, holds))
        return cut

    def _cut_everything(self) -> list[OpenBatch]:
        if not all(edge.ended for edge in self.edges):
            return []
        self.input_ended = True
        holds: list[Output] = []
        inputs = tuple(edge.take_all(holds) for edge in self.edges)
        if holds:
            return [self._open(inputs, None, holds)]
        self.log.end_at(0)
        return []

    def _open(self, inputs: tuple[Input, ...], origin: int | None, holds: list[Output]) -> OpenBatch:
        opened = OpenBatch(Batch(self.plan.name, self.next_seq, inputs=inputs), origin, holds)
        self.open[self.next_seq] = opened
        self.next_seq += 1
        self.counts.batches += 1
        return opened
