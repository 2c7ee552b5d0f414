"""The workers of a run of the fold: those that take batches, and generators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from random import Random

from common.protocol.batch import Batch, Failure, Result
from common.protocol.usage import Usage
from coordinator.plan.plan import Plan
from tests.support.fold.packer import Packer
from tests.support.fold.sequential_interpreter import Program, Rows, run_batch
from tests.support.fold.trouble import Trouble


class Workers:
    """Those of every step that has inputs: they take what is in their bag in any order.

    Attributes:
        bag: batches that were sent and not taken.
        batches: per step the rows that each of its batches was given, by seq.
        given_up: optional steps that failed, and are not done again.
    """

    def __init__(self, plan: Plan, programs: dict[str, Program], packer: Packer, trouble: Trouble) -> None:
        self.bag: list[Batch] = []
        self.batches: dict[str, dict[int, list[Rows]]] = {name: {} for name in plan.steps}
        self.given_up: set[str] = set()
        self._plan = plan
        self._programs = programs
        self._packer = packer
        self._trouble = trouble

    def work(self, random: Random) -> Result | Failure:
        """Takes a batch, and returns its result."""
        batch = self.bag.pop(random.randrange(len(self.bag)))
        name, seq, attempt = batch.step, batch.seq, batch.attempt
        inputs = self._inputs(batch)
        assert self.batches[name].setdefault(seq, inputs) == inputs, f"not the same rows again: {batch}"
        if self._trouble.breaks(name, seq):
            assert attempt == 0
            if self._plan.steps[name].optional:
                self.given_up.add(name)
            return Failure(name, seq, attempt, "out of memory")
        program = self._programs[name]
        if self._trouble.fails_rows(name):
            program = replace(program, fails=lambda rows: True)
        outcome = run_batch(self._plan.steps[name], program, inputs)
        chunks, routed = self._packer.pack(name, seq, attempt, outcome.rows)
        return Result(
            name,
            seq,
            attempt,
            chunks,
            taken=outcome.taken,
            failed=outcome.failed,
            lost=outcome.lost,
            skipped=min(seq % 3, outcome.taken - outcome.failed),
            holes=outcome.rows.count(None),
            routed=routed,
            usage=_usage(seq, attempt),
            saved=_usage(seq + 1, attempt),
        )

    def _inputs(self, batch: Batch) -> list[Rows]:
        """The rows that a batch refers to, one list per predecessor."""
        inputs = [
            [
                row
                for piece in source.slices
                for row in self._packer.payloads.read(piece.payload, piece.start, piece.stop)
            ]
            for source in batch.inputs
        ]
        assert [len(rows) for rows in inputs] == [source.rows for source in batch.inputs]
        return inputs


def _usage(seq: int, attempt: int) -> Usage:
    """Of a batch; every third one asks no model."""
    if seq % 3 == 0:
        return Usage()
    reason = "length" if seq % 5 == 0 else "stop"
    return Usage.of_call(f"m{seq % 2}", input_tokens=seq + 10 * attempt, output_tokens=3 * seq, finish_reason=reason)


class Generators:
    """Those that yield rows from nothing, in the order of their seqs.

    Attributes:
        running: names of those that have not ended.
    """

    def __init__(self, plan: Plan, programs: dict[str, Program], packer: Packer, trouble: Trouble) -> None:
        self.running = set(plan.generators)
        self._programs = programs
        self._packer = packer
        self._trouble = trouble
        self._yielded: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()

    def generate(self, ready: Iterable[str], random: Random) -> Result | Failure:
        """What one of those that are ready yields next."""
        name = random.choice(sorted(ready))
        seq, attempt = self._yielded[name], self._failures[name]
        if self._trouble.breaks(name, seq):
            self._failures[name] += 1
            return Failure(name, seq, attempt, "the source is gone")
        self._failures[name] = 0
        self._yielded[name] += 1
        yields = self._programs[name].yields
        rows: Rows = list(yields[seq]) if seq < len(yields) else []
        ends_at = len(yields) + 1 if name in self._trouble.conditions.ends_empty else max(1, len(yields))
        last = self._yielded[name] == ends_at
        if last:
            self.running.remove(name)
        chunks, routed = self._packer.pack(name, seq, attempt, rows)
        return Result(name, seq, attempt, chunks, last=last, routed=routed)
