"""Runs the fold's effects in memory, in any order, and checks the fold's promises meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from common.protocol.batch import Batch, Reopened, Routed
from coordinator.engine.file_keeper import is_needed
from coordinator.fold.batch_manager import BatchManager, Halt
from coordinator.fold.effects import Dispatch, Effect, Emit, Redo, Release, Route
from coordinator.plan.plan import Plan
from tests.support.fold.done import Done
from tests.support.fold.fold_words import Finish, told
from tests.support.fold.journal import Journal
from tests.support.fold.ledger import check_ledger, check_nothing_is_left
from tests.support.fold.packer import Packer
from tests.support.fold.payload_store import PayloadStore
from tests.support.fold.sequential_interpreter import Program
from tests.support.fold.sink import Sink
from tests.support.fold.trouble import Conditions, Trouble
from tests.support.fold.workers import Generators, Workers

WEIGHTS = (1, 4, 16)
"""Weights of an action against the others; drawn once per run, so that runs differ in what they favour."""


class FoldExecutor:
    """A coordinator, its workers, a payload store and a sink.

    Attributes:
        halts: reasons of the halts.
    """

    def __init__(self, plan: Plan, programs: dict[str, Program], conditions: Conditions | None = None) -> None:
        self.programs = programs
        self.trouble = Trouble(conditions or Conditions())
        self.random = Random(self.trouble.conditions.seed)
        self.manager = BatchManager(plan)
        self.journal = Journal()
        self.halts: list[str] = []
        self.payloads = PayloadStore()
        self.sink = Sink(plan, self.payloads)
        packer = Packer(plan, programs, self.payloads, self.random)
        self.workers = Workers(plan, programs, packer, self.trouble)
        self.generators = Generators(plan, programs, packer, self.trouble)
        self.done = Done(self.payloads, self.sink)
        self._effects: list[Effect | Finish] = []

    @property
    def plan(self) -> Plan:
        return self.manager.plan

    def run(self) -> FoldExecutor:
        """Runs until nothing is left to do, and checks that the fold knows it."""
        weights = {action: self.random.choice(WEIGHTS) for action in ("apply", "perform", "work", "generate", "write")}
        while possible := self._possible():
            action = self.random.choices(list(possible), [weights.get(name, 1) for name in possible])[0]
            possible[action]()
            if self.trouble.crashes(self.random):
                self._crash()
        assert self.done.finished, f"the run is stuck: {snapshot(self.manager)}"
        assert not self.payloads.kept, f"never released: {list(self.payloads.kept)}"
        check_nothing_is_left(self.manager)
        check_ledger(self.manager, self.journal.entries, self.workers, self.sink)
        return self

    def _possible(self) -> dict[str, Callable[[], None]]:
        possible: dict[str, Callable[[], None]] = {}
        halted = self.manager.halted is not None
        if not self.journal.is_applied:
            possible["apply"] = self._apply
        elif halted:
            possible["reopen"] = self._reopen
        if any(not (halted and isinstance(effect, Dispatch | Redo)) for effect in self._effects):
            possible["perform"] = self._perform
        if self.workers.bag:
            possible["work"] = self._work
        if not halted and self._ready():
            possible["generate"] = self._generate
        if self.sink.has_unwritten:
            possible["write"] = self._write
        return possible

    def _ready(self) -> set[str]:
        """Generators that may yield now."""
        return self.generators.running

    # the coordinator

    def _apply(self) -> None:
        following = told(self.manager, self.journal.next())
        self._effects.extend(one for one in following if not isinstance(one, Halt))
        self._check_files()
        self.halts.extend(f"{one.step}: {one.reason}" for one in following if isinstance(one, Halt))

    def _check_files(self) -> None:
        """What a result of the journal names, applied or not, is no orphan until it is released."""
        released = {effect.payload for effect in self._effects if isinstance(effect, Release)}
        for payload in self.payloads.kept - released:
            if payload.external is not None:
                assert is_needed(self.manager, payload.external), f"would be deleted: {payload}"

    def _perform(self) -> None:
        """Performs the first effect; what starts work waits while the run is halted."""
        held = Dispatch | Redo if self.manager.halted else ()
        effect = next(effect for effect in self._effects if not isinstance(effect, held))
        self._effects.remove(effect)
        assert not self.done.finished, f"after the end: {effect}"
        match effect:
            case Dispatch(batch):
                self.done.dispatch(batch)
                self._send(batch)
            case Redo(batch):
                self.done.redo(batch)
                self._send(batch)
            case Release(payload):
                assert payload.external not in self.manager.holdings.files
                self.payloads.delete(payload)
            case Emit():
                self.sink.emit(effect)
            case Route(step, seq, rows):
                assert self.programs[step].choose_by_rows is None, "the worker has chosen"
                self.done.route(step, seq)
                chosen = self.programs[step].choose(seq, rows, self.plan.successors(step))
                self.journal.append(Routed(step, seq, chosen))
            case Finish():
                assert not self._effects
                assert not self.workers.bag
                assert not self.sink.has_unwritten
                assert self.journal.is_applied
                self.done.finished = True

    def _send(self, batch: Batch) -> None:
        assert batch.rows, f"a batch without rows: {batch}"
        files = {piece.payload.external for source in batch.inputs for piece in source.slices} - {None}
        assert files <= self.manager.holdings.files, "a file that a batch needs may be deleted"
        step = self.plan.steps[batch.step]
        sources = tuple(source.step for source in batch.inputs)
        expected = step.predecessors
        assert sources == (tuple(name for name in expected if name in sources) if step.converges else expected)
        assert step.kind == "global" or step.converges or all(i.rows <= step.batch_size for i in batch.inputs)
        self.workers.bag.append(batch)

    def _reopen(self) -> None:
        self.journal.append(Reopened())
        self.trouble.end_outage()
        self._apply()

    def _crash(self) -> None:
        """Another coordinator reads the journal and leaves out what the last one has done already."""
        old, self.manager = self.manager, BatchManager(self.plan)
        self.sink.forget()
        self._effects = []
        for entry in self.journal.applied:
            self._effects.extend(one for one in told(self.manager, entry) if not isinstance(one, Halt))
        assert snapshot(self.manager) == snapshot(old)
        self._effects = [effect for effect in self._effects if effect not in self.done]

    # the others

    def _write(self) -> None:
        self.journal.append(self.sink.write(self.random))

    def _work(self) -> None:
        self.journal.append(self.workers.work(self.random))

    def _generate(self) -> None:
        self.journal.append(self.generators.generate(self._ready(), self.random))


def snapshot(manager: BatchManager) -> dict[str, object]:
    """All of the fold's state that later entries can meet, as plain values."""
    steps = {
        name: (
            {seq: (opened.batch, opened.origin) for seq, opened in state.open.items()},
            list(state.breaker.held),
            (state.breaker.rows, state.breaker.failed, state.breaker.tripped),
            dict(state.errors),
            (state.inflow.next_seq, state.attempt, state.log.next_seq, state.log.early),
            (state.input_ended, state.output_ended, state.inflow.routes_ended),
            [(edge.rows_in, edge.rows_out, edge.waiting, edge.ended) for edge in state.inflow.edges],
            (len(state.fork.unrouted), dict(state.fork.choices), list(state.inflow.routes)),
            [output.payload for output in state.unwritten.outputs],
            replace(state.counts),
        )
        for name, state in manager.steps.items()
    }
    return {"steps": steps, "ends": (manager.halted, manager.finished, manager.payload_bytes)}
