"""The batch manager: a pure fold over the journal of a run. No clock, no I/O, no random number.

    manager = BatchManager(plan)
    for entry in journal:
        for effect in manager.apply(entry): ...

State is a function of the plan and the journal, so a new coordinator reads the journal and is where the old one was.
Applying an entry a second time, or one that a newer attempt has overtaken, changes nothing.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

from common.batch import Batch, Entry, Failure, PartWritten, Payload, Reopened, Result, Routed
from coordinator.breaker import MINIMUM_ROWS, Breaker
from coordinator.holdings import Holdings
from coordinator.outputs import Closing, Edge, Output, payloads_of
from coordinator.plan import Plan, StepPlan
from coordinator.step_state import UNWRITABLE, Choice, StepState


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A batch may be sent to its step. The batches of a step come in seq order."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Redo:
    """A batch is to be sent again, with a new attempt, because the run was reopened."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Release:
    """No one needs the payload any more. `size` is in bytes."""

    payload: Payload
    size: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Emit:
    """An output of a leaf, in seq order, is to be written to a part. `size` is in bytes."""

    payload: Payload
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class Route:
    """An output of a routing step waits for a choice of successors, to be journaled as `Routed`."""

    step: str
    seq: int
    rows: int


@dataclass(frozen=True, slots=True)
class Halt:
    """Nothing new may be started until the run is reopened."""

    step: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Every step has ended and every leaf is on disk."""


Effect = Dispatch | Redo | Release | Emit | Route | Halt | Finish


class BatchManager:
    """Folds journal entries into effects.

    Attributes:
        steps: state per step, in topological order.
        halted: why nothing may be started, or None.
        finished: every row is on disk.
        holdings: payloads that the journal has announced and the fold has not let go.
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
        state = StepState(step, edges, Breaker(step.max_failure_rate))
        self.steps[step.name] = state
        if step.converges:
            self._converging[step.converges].append(state)

    def _branch(self, source: str, step: StepPlan) -> str | None:
        """The child of the routing step, converged by `step`, below which `source` is."""
        return self.plan.steps[source].scope[len(step.scope)][1] if step.converges else None

    def apply(self, entry: Entry) -> list[Effect]:
        """Takes the next entry of the journal and returns what follows from it, in the order to be done."""
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
                effects += self._halt(lost[0], lost[0].lost_everything)
            else:
                self.finished = True
                effects.append(Finish())
        return effects

    @property
    def payload_bytes(self) -> int:
        """Bytes of payloads in the broker that are work in flight."""
        return self.holdings.in_broker

    def _is_complete(self) -> bool:
        if self._running or self.halted:
            return False
        return not any(self.steps[leaf].unwritten for leaf in self.plan.leaves)

    def backlog(self, name: str) -> int:
        """Outputs of the step that its slowest successor could cut and has not; none that wait for a later stage."""
        waiting = [edge.waiting for edge in self._edges_out[name] if not self._lacks(edge)]
        return max(waiting, default=0) + self.steps[name].log.early

    def is_lacked(self, name: str) -> bool:
        """Does a successor need more rows of this step before it can cut a batch?

        One is enough: where branches meet again, the step that waits may itself wait for that successor.
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
            if state.plan.kind != "generator":  # delivered twice: the rows stored last are nobody's to let go
                for payload, chunk in zip(payloads_of(result), result.chunks, strict=True):
                    if payload not in self.holdings.payloads:
                        yield Release(payload, chunk.size)
            return
        tripped_before = state.breaker.tripped
        for payload, chunk in zip(payloads_of(result), result.chunks, strict=True):
            self.holdings.take(payload, chunk.size)
        if state.plan.kind == "generator":
            self._generated(state, result)
        else:
            for admitted in state.breaker.judge(result):
                yield from self._complete(state, admitted)
        if state.breaker.tripped and not tripped_before:
            failed, rows = state.breaker.failed, state.breaker.rows
            yield from self._halt(state, f"{failed} of the last {rows} rows failed")
        yield from self._settle(state)

    def _generated(self, state: StepState, result: Result) -> None:
        """What a generator made is made: the breaker may halt it, but there is nothing to hold or to do again."""
        state.breaker.judge(result)
        state.breaker.release()
        state.next_seq += 1
        state.attempt = 0
        state.counts.batches += 1
        state.counts.tickets += 1
        state.errors.clear()
        if result.last:
            state.input_ended = True
            state.log.end_at(state.next_seq)
        self._record(state, result, None)

    def _complete(self, state: StepState, result: Result) -> Iterator[Effect]:
        opened = state.open.pop(result.seq)
        self._record(state, result, opened.origin)
        for output in opened.holds:
            output.holders -= 1
            yield from self._let_go(output)

    def _record(self, state: StepState, result: Result, origin: int | None) -> None:
        """Enters a result into the ledger, and its payloads into the step's output."""
        counts = state.counts
        counts.done += 1
        counts.taken += result.taken
        counts.failed += result.failed
        counts.lost += result.lost
        counts.holes += result.holes
        counts.out += result.rows - result.holes
        counts.seconds += result.seconds
        for payload, chunk in zip(payloads_of(result), result.chunks, strict=True):
            state.log.append(Output(payload, chunk.rows, chunk.size, origin))
        if state.plan.kind == "global":
            state.log.end_at(len(result.chunks))
        elif not result.chunks:
            state.log.append(Output(Payload(result.step, result.seq, result.attempt), 0, 0, origin))
        for place, chosen in enumerate(result.routed or ()):
            state.choices[result.seq + place] = chosen

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
        yield from self._halt(state, failure.error)

    # what the coordinator journals

    def _routed(self, routed: Routed) -> Iterator[Effect]:
        state = self.steps[routed.step]
        first = state.unrouted[0] if state.unrouted else None
        if not isinstance(first, Output) or routed.seq < first.payload.seq:
            return
        state.choices.setdefault(routed.seq, routed.successors)
        yield from self._settle(state)

    def _part_written(self, part: PartWritten) -> Iterator[Effect]:
        """The script that journals a part frees its payloads in the broker; those in files are left to release."""
        state = self.steps[part.step]
        if not state.unwritten or state.unwritten[0].payload.seq > part.last_seq:
            return
        state.note_part(part)
        while state.unwritten and state.unwritten[0].payload.seq <= part.last_seq:
            output = state.unwritten.popleft()
            self.holdings.let_go(output.payload, output.size)
            if output.payload.external is not None:
                yield Release(output.payload, output.size)
        if state.unwritable_in_a_row >= MINIMUM_ROWS and state.breaker.rate < 1:
            yield from self._halt(state, f"none of the last {state.unwritable_in_a_row} rows {UNWRITABLE}")

    def _reopened(self) -> Iterator[Effect]:
        if self.halted is None:
            return
        self.halted = None
        for state in self.steps.values():
            again = set(state.errors)
            state.errors.clear()
            state.unwritable_in_a_row = 0
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
        """Hands on what a step has put out and lets its successors cut, step after step in topological order."""
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
        """A step that ends with fewer rows than the breaker judges by must not wait for more of them."""
        waiting = state.in_flight or state.errors
        if state.breaker.held and state.input_ended and not waiting and not state.breaker.tripped:
            for result in state.breaker.end(state.counts.taken, state.counts.failed):
                yield from self._complete(state, result)
            if state.breaker.tripped:
                yield from self._halt(state, f"all {state.breaker.rows} rows failed")

    def _advance(self, state: StepState) -> Generator[Effect, None, bool]:
        """Hands on what has become contiguous; returns whether a successor may have something to cut."""
        moved = False
        for item in state.log.advance():
            moved = True
            if isinstance(item, Output) and not item.rows:
                if item.size:
                    yield from self._let_go(item)
                continue
            if state.plan.routed:
                state.unrouted.append(item)
                if isinstance(item, Output) and item.payload.seq not in state.choices:
                    yield Route(state.plan.name, item.payload.seq, item.rows)
            elif isinstance(item, Output):
                yield from self._hand_on(state, item)
            elif state.plan.scope:
                for edge in self._edges_out[state.plan.name]:
                    edge.close(item.origin)
        if state.unrouted:
            moved = (yield from self._pass_routed(state)) or moved
        if state.log.ended and not state.unrouted and not state.output_ended:
            self._end(state)
            return True
        return moved

    def _hand_on(self, state: StepState, output: Output) -> Iterator[Effect]:
        edges = self._edges_out[state.plan.name]
        for edge in edges:
            edge.push(output, output.origin)
        if not edges:
            state.unwritten.append(output)
            output.holders += 1
            yield Emit(output.payload, output.rows, output.size)

    def _pass_routed(self, state: StepState) -> Generator[Effect, None, bool]:
        """Hands the outputs of a routing step to the successors chosen for each, as far as choices are known."""
        moved = False
        while state.unrouted:
            item = state.unrouted[0]
            if isinstance(item, Output) and item.payload.seq not in state.choices:
                break
            state.unrouted.popleft()
            moved = True
            passed: Choice | Closing
            if isinstance(item, Output):
                seq = item.payload.seq
                passed = Choice(seq, state.choices.pop(seq), item.origin)
                for edge in self._edges_out[state.plan.name]:
                    if edge.target in passed.branches:
                        edge.push(item, seq)
                        edge.close(seq)
                yield from self._let_go(item)
            else:
                passed = item
            for converging in self._converging[state.plan.name]:
                converging.routes.append(passed)
        return moved

    def _end(self, state: StepState) -> None:
        state.output_ended = True
        self._running.discard(state.plan.name)
        for edge in self._edges_out[state.plan.name]:
            if not state.plan.scope and not state.plan.routed:
                edge.close(None)
            edge.end()
        for converging in self._converging[state.plan.name]:
            converging.routes_ended = True

    def _let_go(self, output: Output) -> Iterator[Effect]:
        if not output.holders:
            self.holdings.let_go(output.payload, output.size)
            yield Release(output.payload, output.size)

    def _halt(self, state: StepState, reason: str) -> Iterator[Effect]:
        if self.halted is None:
            self.halted = Halt(state.plan.name, reason)
            yield self.halted
