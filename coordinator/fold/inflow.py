"""How the batches of a step are cut from the output of its predecessors."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from common.protocol.batch import Batch, Input
from coordinator.fold.fork import Choice
from coordinator.fold.outputs import Closing, Edge, Output, OutputLog
from coordinator.plan.plan import StepPlan


@dataclass(slots=True, eq=False)
class OpenBatch:
    """A batch without an applied result, and the outputs that it keeps alive."""

    batch: Batch
    origin: int | None
    holds: list[Output]


@dataclass(slots=True, eq=False)
class Inflow:
    """The input of one step that has not been cut.

    Args:
        edges: those from its predecessors.
        next_seq: seq of the next batch to cut, or to be produced by a generator.
        ended: no more batches will be cut.
        routes: for a convergence step, what the routing step chose, in order.
    """

    plan: StepPlan
    edges: list[Edge]
    next_seq: int = 0
    ended: bool = False
    routes: deque[Choice | Closing] = field(default_factory=deque)
    routes_ended: bool = False

    def cut(self, log: OutputLog) -> list[OpenBatch]:
        """Cuts every batch that is ready; `log` is told about closed spans and the end of the input."""
        if self.ended or self.plan.kind == "generator":
            return []
        if self.plan.kind == "global":
            return self._cut_everything(log)
        if self.plan.converges:
            cut = self._cut_choices(log)
            ended = self.routes_ended and not self.routes
        else:
            cut = self._cut_spans(log)
            ended = all(edge.exhausted for edge in self.edges)
        if ended:
            self.ended = True
            log.end_at(self.next_seq)
        return cut

    def _cut_spans(self, log: OutputLog) -> list[OpenBatch]:
        """`batch_size` rows from the head of each predecessor; at the end of a span, what is left of each."""
        cut: list[OpenBatch] = []
        size = self.plan.batch_size
        while True:
            heads = [edge.head for edge in self.edges if edge.head]
            if len(heads) < len(self.edges):
                return cut
            if all(head.closed and not head.rows for head in heads):
                log.close_at(self.next_seq, heads[0].origin)
                for edge in self.edges:
                    edge.pop()
            elif all(head.closed or head.rows >= size for head in heads):
                holds: list[Output] = []
                inputs = tuple(edge.take(size, holds) for edge in self.edges)
                cut.append(self._open(inputs, heads[0].origin, holds))
            else:
                return cut

    def _cut_choices(self, log: OutputLog) -> list[OpenBatch]:
        """For each routed batch in order, everything that its chosen branches produced from it."""
        cut: list[OpenBatch] = []
        while self.routes:
            choice = self.routes[0]
            if isinstance(choice, Closing):
                log.close_at(self.next_seq, choice.origin)
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

    def _cut_everything(self, log: OutputLog) -> list[OpenBatch]:
        if not all(edge.ended for edge in self.edges):
            return []
        self.ended = True
        holds: list[Output] = []
        inputs = tuple(edge.take_all(holds) for edge in self.edges)
        if holds:
            return [self._open(inputs, None, holds)]
        log.end_at(0)
        return []

    def _open(self, inputs: tuple[Input, ...], origin: int | None, holds: list[Output]) -> OpenBatch:
        opened = OpenBatch(Batch(self.plan.name, self.next_seq, inputs=inputs), origin, holds)
        self.next_seq += 1
        return opened
