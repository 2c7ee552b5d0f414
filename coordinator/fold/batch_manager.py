"""The batch manager: a pure fold over the journal of a run. No clock, no I/O, no random number.

    manager = BatchManager(plan)
    for entry in journal:
        for effect in manager.apply(entry): ...

State is a function of the plan and the journal, so a new coordinator reads the journal and is where the old one was.
Applying an entry twice, or one superseded by a newer attempt, changes nothing.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

from common.protocol.batch import Entry, Failure, PartWritten, Reopened, Result, Routed
from coordinator.fold.breaker import MINIMUM_ROWS, Breaker
from coordinator.fold.effects import Dispatch, Effect, Emit, Redo, Release, Route
from coordinator.fold.holdings import Holdings
from coordinator.fold.inflow import Inflow
from coordinator.fold.outputs import Closing, Edge, Output, payloads_of
from coordinator.fold.step_state import UNWRITABLE, StepState
from coordinator.plan.plan import Plan, StepPlan


@dataclass(frozen=True, slots=True)
class Halt:
    """Why nothing new may be started until the run is reopened."""

    step: str
    reason: str


class BatchManager:
    """Folds journal entries into effects.

    Attributes:
        steps: state per step, in topological order.
        halted: why nothing may be started, or None.
        finished: every row is on disk.
        holdings: payloads that the journal has announced and the fold has not released.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.halted: Halt | None = None
        self.finished = False
        self.holdings = Holdings(plan)
        self.steps: dict[str, StepState] = {}
        self._order = {name: place for place, name in enumerate(plan.steps)}
        self._edges_out: dict[str, list[Edge]] = {name: [] for name in plan.steps}
        self._converging: dict[str, list[StepState]] = {name: [] for name in plan.steps}
        self._running = set(plan.steps)
        for step in plan.steps.values():
            self._add(step)

    def _add(self, step: StepPlan) -> None:
        edges = [Edge(source, step.name, self._branch(source, step)) for source in step.predecessors]
        for edge in edges:
            self._edges_out[edge.source].append(edge)
        state = StepState(step, Inflow(step, edges), Breaker(step.max_failure_rate))
        self.steps[step.name] = state
        if step.converges:
            self._converging[step.converges].append(state)

    def _branch(self, source: str, step: StepPlan) -> str | None:
        """The child of the routing step converging in `step` that `source` is downstream of."""
        return self.plan.steps[source].scope[len(step.scope)][1] if step.converges else None

    def apply(self, entry: Entry) -> list[Effect]:
        """Applies the next journal entry and returns its effects, in the order of execution."""
        match entry:
            case Result():
                effects = list(self._result(entry))
            case Failure():
                effects = list(self._failure(entry))
            case Routed():
                effects = list(self._routed(entry))
            case PartWritten():
                effects = list(self._part_written(entry))
            case Reopened():
                effects = list(self._reopened())
        if not self.finished and self._is_complete():
            if lost := [state for state in self.steps.values() if state.lost_everything]:
                self._halt(lost[0], lost[0].lost_everything)
            else:
                self.finished = True
        return effects

    @property
    def payload_bytes(self) -> int:
        """Bytes of payloads in the broker that are work in flight."""
        return self.holdings.in_broker

    def _is_complete(self) -> bool:
        if self._running or self.halted:
            return False
        return not any(self.steps[leaf].unwritten.outputs for leaf in self.plan.leaves)

    def backlog(self, name: str) -> int:
        """Outputs that the slowest successor of the step could cut but has not; none that wait for a later stage."""
        waiting = [edge.waiting for edge in self._edges_out[name] if not self._lacks(edge)]
        return max(waiting, default=0) + self.steps[name].log.early

    def is_lacked(self, name: str) -> bool:
        """Whether a successor needs more rows of this step before it can cut a batch.

        One is enough: where branches meet again, the waiting step may itself wait for that successor.
        """
        return any(self._lacks(edge) for edge in self._edges_out[name])

    def _lacks(self, edge: Edge) -> bool:
        target = self.plan.steps[edge.target]
        if self.plan.stage(edge.source) < self.plan.stage(edge.target):
            return not edge.ended
        return edge.short_of(math.inf if target.converges else target.batch_size)

    # what workers journal

    def _result(self, result: Result) -> Iterator[Effect]:
        state = self.steps[result.step]
        if not state.awaits(result.seq, result.attempt):
            if (
                state.plan.kind != "generator"
            ):  # delivered twice: no one owns the rows stored last, so no one may release them
                for payload, chunk in zip(payloads_of(result), result.chunks, strict=True):
                    if payload not in self.holdings.payloads:
                        yield Release(payload, chunk.size)
            return
        tripped_before = state.breaker.tripped
        for payload, chunk in zip(payloads_of(result), result.chunks, strict=True):
            self.holdings.take(payload, chunk.size)
        if state.plan.kind == "generator":
            state.record_made(result)
        else:
            for admitted in state.breaker.judge(result):
                yield from self._complete(state, admitted)
        if state.breaker.tripped and not tripped_before:
            failed, rows = state.breaker.failed, state.breaker.rows
            self._halt(state, f"{failed} of the last {rows} rows failed")
        yield from self._settle(state)

    def _complete(self, state: StepState, result: Result) -> Iterator[Effect]:
        opened = state.open.pop(result.seq)
        state.record(result, opened.origin)
        for output in opened.holds:
            output.holders -= 1
            yield from self._let_go(output)

    def _failure(self, failure: Failure) -> Iterator[Effect]:
        state = self.steps[failure.step]
        if not state.awaits(failure.seq, failure.attempt):
            return
        if state.plan.kind == "generator":
            state.counts.tickets += 1
            state.attempt += 1
        if state.plan.optional:
            rows = state.open[failure.seq].batch.rows
            yield from self._complete(
                state, Result(failure.step, failure.seq, failure.attempt, taken=rows, failed=rows)
            )
            yield from self._settle(state)
            return
        state.errors[failure.seq] = failure.error
        self._halt(state, failure.error)

    # what the coordinator journals

    def _routed(self, routed: Routed) -> Iterator[Effect]:
        state = self.steps[routed.step]
        if state.fork.choose(routed.seq, routed.successors):
            yield from self._settle(state)

    def _part_written(self, part: PartWritten) -> Iterator[Effect]:
        """The script that journals a part frees its payloads in the broker; those in files remain to be released."""
        state = self.steps[part.step]
        written = state.record_part(part)
        for output in written:
            self.holdings.let_go(output.payload, output.size)
            if output.payload.external is not None:
                yield Release(output.payload, output.size)
        failed = state.unwritten.failed_in_a_row
        if written and failed >= MINIMUM_ROWS and state.breaker.rate < 1:
            self._halt(state, f"none of the last {failed} rows {UNWRITABLE}")

    def _reopened(self) -> Iterator[Effect]:
        if self.halted is None:
            return
        self.halted = None
        for state in self.steps.values():
            again = set(state.errors)
            state.errors.clear()
            state.unwritten.failed_in_a_row = 0
            for held in state.breaker.reopen():
                again.add(held.seq)
                for payload, chunk in zip(payloads_of(held), held.chunks, strict=True):
                    self.holdings.let_go(payload, chunk.size)
                    yield Release(payload, chunk.size)
            if state.plan.kind == "generator":
                continue
            for seq in sorted(again):
                opened = state.open[seq]
                opened.batch = replace(opened.batch, attempt=opened.batch.attempt + 1)
                yield Redo(opened.batch)

    # what follows

    def _settle(self, changed: StepState) -> Iterator[Effect]:
        """Passes on the output of a step and lets its successors cut, step by step in topological order."""
        places = [self._order[changed.plan.name]]
        states = list(self.steps.values())
        while places:
            place = heapq.heappop(places)
            while places and places[0] == place:
                heapq.heappop(places)
            state = states[place]
            for opened in state.cut():
                yield Dispatch(opened.batch)
            yield from self._release_held_at_end(state)
            moved = yield from self._advance(state)
            if moved:
                for edge in self._edges_out[state.plan.name]:
                    heapq.heappush(places, self._order[edge.target])
                for converging in self._converging[state.plan.name]:
                    heapq.heappush(places, self._order[converging.plan.name])

    def _release_held_at_end(self, state: StepState) -> Iterator[Effect]:
        """Ends the judgement of a step with fewer rows than the breaker needs, which must not wait for more."""
        waiting = state.in_flight or state.errors
        if state.breaker.held and state.inflow.ended and not waiting and not state.breaker.tripped:
            for result in state.breaker.end(state.counts.given, state.counts.failed):
                yield from self._complete(state, result)
            if state.breaker.tripped:
                self._halt(state, f"all {state.breaker.rows} rows failed")

    def _advance(self, state: StepState) -> Generator[Effect, None, bool]:
        """Passes on what has become contiguous; returns whether a successor may have something to cut."""
        moved = False
        for item in state.log.advance():
            moved = True
            if isinstance(item, Output) and not item.rows:
                if item.size:
                    yield from self._let_go(item)
                continue
            if state.plan.routed:
                if state.fork.add(item) and isinstance(item, Output):
                    yield Route(state.plan.name, item.payload.seq, item.rows)
            elif isinstance(item, Output):
                yield from self._hand_on(state, item)
            elif state.plan.scope:
                for edge in self._edges_out[state.plan.name]:
                    edge.close(item.origin)
        if state.fork.unrouted:
            moved = (yield from self._pass_routed(state)) or moved
        if state.log.ended and not state.fork.unrouted and not state.output_ended:
            self._end(state)
            return True
        return moved

    def _hand_on(self, state: StepState, output: Output) -> Iterator[Effect]:
        edges = self._edges_out[state.plan.name]
        for edge in edges:
            edge.push(output, output.origin)
        if not edges:
            state.unwritten.outputs.append(output)
            output.holders += 1
            yield Emit(output.payload, output.rows, output.size)

    def _pass_routed(self, state: StepState) -> Generator[Effect, None, bool]:
        """Passes the outputs of a routing step to the successors chosen for each, as far as choices are known."""
        moved = False
        for item in state.fork.chosen():
            moved = True
            passed = item if isinstance(item, Closing) else item[1]
            if not isinstance(item, Closing):
                output, choice = item
                for edge in self._edges_out[state.plan.name]:
                    if edge.target in choice.branches:
                        edge.push(output, choice.origin)
                        edge.close(choice.origin)
                yield from self._let_go(output)
            for converging in self._converging[state.plan.name]:
                converging.inflow.routes.append(passed)
        return moved

    def _end(self, state: StepState) -> None:
        state.output_ended = True
        self._running.discard(state.plan.name)
        for edge in self._edges_out[state.plan.name]:
            if not state.plan.scope and not state.plan.routed:
                edge.close(None)
            edge.end()
        for converging in self._converging[state.plan.name]:
            converging.inflow.routes_ended = True

    def _let_go(self, output: Output) -> Iterator[Effect]:
        if not output.holders:
            self.holdings.let_go(output.payload, output.size)
            yield Release(output.payload, output.size)

    def _halt(self, state: StepState, reason: str) -> None:
        self.halted = self.halted or Halt(state.plan.name, reason)
