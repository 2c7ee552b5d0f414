"""Runs the fold's effects in memory, in any order, and holds the fold to its promises while it does so."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from common.payloads.names import make_name
from common.protocol.batch import Batch, Chunk, Entry, Failure, PartWritten, Payload, Reopened, Result, Routed
from coordinator.engine.file_keeper import is_needed
from coordinator.fold.batch_manager import BatchManager, Halt
from coordinator.fold.effects import Dispatch, Effect, Emit, Redo, Release, Route
from coordinator.plan.plan import Plan
from tests.support.fold.fold_words import Finish, told
from tests.support.fold.sequential_interpreter import Program, Row, Rows, run_batch

WEIGHTS = (1, 4, 16)
"""Weights of an action against the others; drawn once per run, so that runs differ in what they favour."""


@dataclass(frozen=True)
class Conditions:
    """What happens to a run, beside its plan.

    Args:
        seed: of the order in which things happen.
        crashes: chance, 0 to 1, that the coordinator dies at any moment.
        breaks: batches (step, seq) whose first attempt ends in a Failure.
        outage: a step whose rows all fail until the run is reopened.
        ends_empty: generators that say that they have ended in an empty result of its own.
    """

    seed: int = 0
    crashes: float = 0.0
    breaks: frozenset[tuple[str, int]] = frozenset()
    outage: str | None = None
    ends_empty: frozenset[str] = frozenset()


class FoldExecutor:
    """A coordinator, its workers, a payload store and a sink.

    Attributes:
        journal: every entry so far.
        batches: per step the rows that each of its batches was given, by seq.
        leaves: rows written, per leaf.
        halts: reasons of the halts.
        given_up: optional steps that failed, and are not done again.
    """

    def __init__(self, plan: Plan, programs: dict[str, Program], conditions: Conditions | None = None) -> None:
        self.plan = plan
        self.programs = programs
        self.conditions = conditions or Conditions()
        self.random = Random(self.conditions.seed)
        self.manager = BatchManager(plan)
        self.journal: list[Entry] = []
        self.batches: dict[str, dict[int, list[Rows]]] = {name: {} for name in plan.steps}
        self.leaves: dict[str, list[Row]] = {name: [] for name in plan.leaves}
        self.halts: list[str] = []
        self.given_up: set[str] = set()
        self._applied = 0
        self._effects: list[Effect | Finish] = []
        self._payloads: dict[Payload, Rows] = {}
        self._deleted: set[Payload] = set()
        self._stored: set[tuple[str, int, int]] = set()
        self._bag: list[Batch] = []
        self._sent: Counter[str] = Counter()
        self._sent_again: set[tuple[str, int, int]] = set()
        self._routed: set[tuple[str, int]] = set()
        self._broken: set[tuple[str, int]] = set()
        self._generated: Counter[str] = Counter()
        self._running = set(plan.generators)
        self._failures: Counter[str] = Counter()
        self._written: dict[str, int] = dict.fromkeys(plan.leaves, -1)
        self._buffers: dict[str, list[Emit]] = {name: [] for name in plan.leaves}
        self._reopened = False
        self._finished = False

    def run(self) -> FoldExecutor:
        """Goes on until nothing is left to do, and checks that the fold knows it."""
        weights = {action: self.random.choice(WEIGHTS) for action in ("apply", "perform", "work", "generate", "write")}
        while possible := self._possible():
            action = self.random.choices(list(possible), [weights.get(name, 1) for name in possible])[0]
            possible[action]()
            if self.conditions.crashes and self.random.random() < self.conditions.crashes:
                self._crash()
        assert self._finished, f"the run is stuck: {snapshot(self.manager)}"
        assert not self._payloads, f"never released: {list(self._payloads)}"
        holdings = self.manager.holdings
        assert (holdings.in_broker, holdings.in_store, holdings.files) == (0, 0, set())
        self._check_nothing_is_left()
        self._check_ledger()
        return self

    def _possible(self) -> dict[str, Callable[[], None]]:
        possible: dict[str, Callable[[], None]] = {}
        halted = self.manager.halted is not None
        if self._applied < len(self.journal):
            possible["apply"] = self._apply
        elif halted:
            possible["reopen"] = self._reopen
        if any(not (halted and isinstance(effect, Dispatch | Redo)) for effect in self._effects):
            possible["perform"] = self._perform
        if self._bag:
            possible["work"] = self._work
        if not halted and self._running:
            possible["generate"] = self._generate
        if any(self._buffers.values()):
            possible["write"] = self._write
        return possible

    # the coordinator

    def _apply(self) -> None:
        following = told(self.manager, self.journal[self._applied])
        self._applied += 1
        self._effects.extend(one for one in following if not isinstance(one, Halt))
        self._check_files()
        self.halts.extend(f"{one.step}: {one.reason}" for one in following if isinstance(one, Halt))

    def _check_files(self) -> None:
        """What a result of the journal names, applied or not, is no orphan until it is released."""
        released = {effect.payload for effect in self._effects if isinstance(effect, Release)}
        for payload in self._payloads.keys() - released:
            if payload.external is not None:
                assert is_needed(self.manager, payload.external), f"would be deleted: {payload}"

    def _perform(self) -> None:
        """Performs the first effect; what starts work waits while the run is halted."""
        held = Dispatch | Redo if self.manager.halted else ()
        effect = next(effect for effect in self._effects if not isinstance(effect, held))
        self._effects.remove(effect)
        assert not self._finished, f"after the end: {effect}"
        match effect:
            case Dispatch(batch):
                assert batch.attempt == 0
                assert batch.seq == self._sent[batch.step], f"not dense: {batch}"
                self._sent[batch.step] += 1
                self._send(batch)
            case Redo(batch):
                self._sent_again.add((batch.step, batch.seq, batch.attempt))
                self._send(batch)
            case Release(payload):
                assert payload not in self._deleted, f"released twice: {payload}"
                assert payload.external not in self.manager.holdings.files
                self._delete(payload)
            case Emit(payload, rows, _):
                buffer = self._buffers[payload.step]
                last = buffer[-1].payload.seq if buffer else self._written[payload.step]
                assert payload.seq > last, f"emitted out of order: {payload}"
                assert rows == len(self._payloads[payload])
                buffer.append(effect)
            case Route(step, seq, rows):
                assert (step, seq) not in self._routed
                assert self.programs[step].choose_by_rows is None, "the worker has chosen"
                self._routed.add((step, seq))
                chosen = self.programs[step].choose(seq, rows, self.plan.successors(step))
                self.journal.append(Routed(step, seq, chosen))
            case Finish():
                assert not self._effects
                assert not self._bag
                assert not any(self._buffers.values())
                assert self._applied == len(self.journal)
                self._finished = True

    def _send(self, batch: Batch) -> None:
        assert batch.rows, f"a batch without rows: {batch}"
        files = {piece.payload.external for source in batch.inputs for piece in source.slices} - {None}
        assert files <= self.manager.holdings.files, "a file that a batch needs may be deleted"
        step = self.plan.steps[batch.step]
        sources = tuple(source.step for source in batch.inputs)
        expected = step.predecessors
        assert sources == (tuple(name for name in expected if name in sources) if step.converges else expected)
        assert step.kind == "global" or step.converges or all(i.rows <= step.batch_size for i in batch.inputs)
        self._bag.append(batch)

    def _reopen(self) -> None:
        self.journal.append(Reopened())
        self._reopened = True
        self._apply()

    def _crash(self) -> None:
        """Another coordinator reads the journal and leaves out what the last one has done already."""
        old, self.manager = self.manager, BatchManager(self.plan)
        self._buffers = {name: [] for name in self.plan.leaves}
        self._effects = []
        for entry in self.journal[: self._applied]:
            self._effects.extend(one for one in told(self.manager, entry) if not isinstance(one, Halt))
        assert snapshot(self.manager) == snapshot(old)
        self._effects = [effect for effect in self._effects if not self._is_done(effect)]

    def _is_done(self, effect: Effect | Finish) -> bool:
        match effect:
            case Dispatch(batch):
                return batch.seq < self._sent[batch.step]
            case Redo(batch):
                return (batch.step, batch.seq, batch.attempt) in self._sent_again
            case Release(payload):
                return payload in self._deleted
            case Emit(payload, _, _):
                return payload.seq <= self._written[payload.step]
            case Route(step, seq, _):
                return (step, seq) in self._routed
            case Finish():
                return self._finished

    # the sink

    def _write(self) -> None:
        """Writes the head of a leaf's buffer; the range of seqs that the part covers is deleted with its entry."""
        leaf = self.random.choice([name for name, buffer in self._buffers.items() if buffer])
        buffer = self._buffers[leaf]
        count = self.random.randint(1, len(buffer))
        part, self._buffers[leaf] = buffer[:count], buffer[count:]
        rows = [row for emit in part for row in self._payloads[emit.payload] if row is not None]
        self.leaves[leaf].extend(rows)
        first, last = part[0].payload.seq, part[-1].payload.seq
        covered = [p for p in self._payloads if p.step == leaf and first <= p.seq <= last]
        assert {emit.payload for emit in part} <= set(covered)
        for emit in part:
            if emit.payload.external is None:  # files are released by the fold
                self._delete(emit.payload)
        self._written[leaf] = last
        self.journal.append(PartWritten(leaf, first, last, f"{leaf}-{first}", len(rows), 0, "", b""))

    def _delete(self, payload: Payload) -> None:
        del self._payloads[payload]
        self._deleted.add(payload)

    # the workers

    def _generate(self) -> None:
        name = self.random.choice(sorted(self._running))
        seq, attempt = self._generated[name], self._failures[name]
        if self._breaks(name, seq):
            self._failures[name] += 1
            self.journal.append(Failure(name, seq, attempt, "the source is gone"))
            return
        self._failures[name] = 0
        yields = self.programs[name].yields
        rows: Rows = list(yields[seq]) if seq < len(yields) else []
        ends_at = len(yields) + 1 if name in self.conditions.ends_empty else max(1, len(yields))
        self._generated[name] += 1
        last = self._generated[name] == ends_at
        if last:
            self._running.remove(name)
        chunks, routed = self._store(name, seq, attempt, rows)
        self.journal.append(Result(name, seq, attempt, chunks, last=last, routed=routed))

    def _work(self) -> None:
        batch = self._bag.pop(self.random.randrange(len(self._bag)))
        name, seq, attempt = batch.step, batch.seq, batch.attempt
        inputs = [
            [row for s in source.slices for row in self._payloads[s.payload][s.start : s.stop]]
            for source in batch.inputs
        ]
        assert [len(rows) for rows in inputs] == [source.rows for source in batch.inputs]
        assert self.batches[name].setdefault(seq, inputs) == inputs, f"not the same rows again: {batch}"
        if self._breaks(name, seq):
            assert attempt == 0
            if self.plan.steps[name].optional:
                self.given_up.add(name)
            self.journal.append(Failure(name, seq, attempt, "out of memory"))
            return
        program = self.programs[name]
        if name == self.conditions.outage and not self._reopened:
            program = replace(program, fails=lambda rows: True)
        outcome = run_batch(self.plan.steps[name], program, inputs)
        chunks, routed = self._store(name, seq, attempt, outcome.rows)
        self.journal.append(
            Result(
                name,
                seq,
                attempt,
                chunks,
                taken=outcome.taken,
                failed=outcome.failed,
                lost=outcome.lost,
                holes=outcome.rows.count(None),
                routed=routed,
            )
        )

    def _breaks(self, name: str, seq: int) -> bool:
        breaks = (name, seq) in self.conditions.breaks and (name, seq) not in self._broken
        self._broken.add((name, seq))
        return breaks

    def _store(
        self, name: str, seq: int, attempt: int, rows: Rows
    ) -> tuple[tuple[Chunk, ...], tuple[tuple[str, ...], ...] | None]:
        """Stores an output, that of a global step in chunks, and routes each by its rows where its program does so.

        Without rows there is nothing to store.
        """
        step, program = self.plan.steps[name], self.programs[name]
        chunks: list[Chunk] = []
        routed: list[tuple[str, ...]] = []
        while rows:
            size = len(rows)
            if step.kind == "global":
                size = step.batch_size if step.routed else self.random.randint(1, len(rows))
                seq = len(chunks)
            external = make_name(name, seq, attempt, b"") if self.random.random() < 0.2 else None
            head, rows = rows[:size], rows[size:]
            size = len(head)
            assert (name, seq, attempt) not in self._stored, "a payload is never overwritten"
            self._stored.add((name, seq, attempt))
            self._payloads[Payload(name, seq, attempt, external)] = head
            chunks.append(Chunk(size, 1 + 8 * size, external))
            routed.append(program.successors(seq, head, self.plan.successors(name)))
        in_worker = step.routed and program.choose_by_rows is not None
        return tuple(chunks), tuple(routed) if in_worker else None

    # the end

    def _check_nothing_is_left(self) -> None:
        for state in self.manager.steps.values():
            assert state.input_ended
            assert state.output_ended
            waiting = (state.open, state.breaker.held, state.errors, state.log.early, state.fork.unrouted)
            assert not any((*waiting, state.fork.choices, state.inflow.routes, state.unwritten.outputs))
            assert all(edge.exhausted for edge in state.inflow.edges)

    def _check_ledger(self) -> None:
        """On every edge, rows committed = rows taken; per step, rows in = processed + failed + lost at a join.

        A step that was given up counts all positions as failed: nobody has told the fold which of them are holes.
        """
        applied = applied_results(self.journal)
        for name in self.given_up:
            rows = max(map(len, self.batches[name][0]))
            applied[name] = [Result(name, 0, 0, taken=rows, failed=rows)]
        for name, state in self.manager.steps.items():
            results = applied[name]
            counts = state.counts
            assert counts.batches == counts.done == len(results)
            assert counts.taken == sum(result.taken for result in results)
            assert counts.failed == sum(result.failed for result in results)
            assert counts.lost == sum(result.lost for result in results)
            assert counts.holes == sum(result.holes for result in results)
            assert counts.out == sum(result.rows - result.holes for result in results)
            given = list(self.batches[name].values())
            positions = sum(max(map(len, inputs)) for inputs in given)
            holes = sum(inputs[0].count(None) for inputs in given if len(inputs) == 1)
            if state.plan.kind != "generator" and name not in self.given_up:
                assert positions == counts.taken + counts.lost + holes
            for edge in state.inflow.edges:
                assert edge.rows_in == edge.rows_out
                source = self.manager.steps[edge.source]
                if not source.plan.routed:
                    assert edge.rows_in == source.counts.out + source.counts.holes
            assert sum(edge.rows_out for edge in state.inflow.edges) == sum(
                len(rows) for inputs in given for rows in inputs
            )
            if not self.plan.successors(name):
                assert counts.written == counts.out == len(self.leaves[name])


def applied_results(journal: list[Entry]) -> dict[str, list[Result]]:
    """The result that counts of each batch: that of its last attempt."""
    results: dict[tuple[str, int], Result] = {}
    for entry in journal:
        if isinstance(entry, Result):
            results[entry.step, entry.seq] = entry
    by_step: dict[str, list[Result]] = defaultdict(list)
    for result in results.values():
        by_step[result.step].append(result)
    return by_step


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
