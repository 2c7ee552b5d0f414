"""What a run has produced, and whether anything was lost, duplicated or left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from common.protocol.batch import Entry, Result
from common.protocol.keys import Keys
from common.protocol.usage import Counts
from coordinator.fold.batch_manager import BatchManager
from coordinator.plan.load import prepare
from coordinator.plan.plan import Plan
from tests.chaos.scenario import Pipeline
from tests.chaos.stage import Stage
from tests.support.runs.harness import Harness

Poisoned = tuple[tuple[str, int, int, str], ...]
"""Failed rows: step, batch, position, error."""


@dataclass(frozen=True, slots=True)
class Yield:
    """What a pipeline produces.

    Args:
        digests: per leaf, of its rows and their order.
        failed: the rows that failed, sorted.
        kept: what the answers of models in the dataset took.
        entries: of the journal, about; a run that was disturbed may have more parts.
        asked: row -> answers that the endpoint gave.
    """

    digests: dict[str, str]
    failed: Poisoned
    kept: Counts
    entries: int = 0
    asked: Counter[int] = field(default_factory=Counter)


def collect(harness: Harness) -> Yield:
    """From a run directory."""
    leaves = sorted(path.name for path in (harness.run_directory / "dataset").iterdir() if path.is_dir())
    failed = sorted((one.step, one.seq, one.position, one.error.partition(" (at ")[0]) for one in harness.letters())
    return Yield({leaf: harness.digest(leaf) for leaf in leaves}, tuple(failed), harness.record().bill.kept)


def check_poison(pipeline: Pipeline, harness: Harness) -> None:
    """Failed rows are poisoned ones, each once per batch that it came to; all of `label`, which every row comes to."""
    found = [(one.step, int(str((one.row or {})["n"]))) for one in harness.letters()]
    assert len(found) == len(set(found)), f"a row failed twice: {found}"
    assert all(n in pipeline.bad.get(step, ()) for step, n in found), found
    assert {n for step, n in found if step == "label"} == set(pipeline.bad["label"])


def check_ledger(plan: Plan, journal: Sequence[Entry]) -> None:
    """On every edge, output rows = rows taken; per step rows in = processed + failed + lost + holes; leaves written.

    The journal is folded again; of several results of a batch only the first one counts.
    """
    manager = BatchManager(plan)
    applied: dict[tuple[str, int, int], Result] = {}
    for entry in journal:
        if isinstance(entry, Result) and manager.steps[entry.step].awaits(entry.seq, entry.attempt):
            applied[entry.step, entry.seq, entry.attempt] = entry
        manager.apply(entry)
    assert manager.finished, "the journal does not end the run"
    assert manager.payload_bytes == 0
    for name, state in manager.steps.items():
        counts = state.counts
        results = [result for (step, _, _), result in applied.items() if step == name]
        assert not state.in_flight, name
        numbers = (counts.batches, counts.done, len(results))
        assert len(set(numbers)) == 1, f"step '{name}': {numbers} batches cut, done and in the journal"
        assert sorted(result.seq for result in results) == list(range(len(results))), name
        assert counts.out == sum(result.rows - result.holes for result in results), name
        assert counts.taken == sum(result.taken for result in results), name
        for edge in state.inflow.edges:
            assert edge.rows_in == edge.rows_out, (edge.source, name)
            source = manager.steps[edge.source]
            if not source.plan.routed:
                assert edge.rows_in == source.counts.out + source.counts.holes, (edge.source, name)
        if not plan.successors(name):
            assert counts.written == counts.out, name


def check_broker(stage: Stage, keys: Keys) -> None:
    """The run is complete, so its payloads are freed and nothing waits for a worker."""
    client = stage.broker.client()
    left = [key.decode() for key in client.scan_iter(match=keys.everything, count=1000)]
    rows = [key for key in left if ":payload:" in key or ":manifest:" in key]
    assert not rows, f"payloads are left: {rows}"
    for step in stage.scenario.pipeline.steps:
        stream = keys.inputs(step)
        waiting = client.xrange(stream)
        assert not waiting, f"{stream} holds {waiting}"


def check(stage: Stage, pipeline: Pipeline, alone: Yield) -> None:
    """After the end of a run: it looks like an uninterrupted run."""
    found = collect(stage.harness)
    assert found.digests == alone.digests, "other rows, or another order"
    assert found.failed == alone.failed, f"other failed rows: {set(found.failed) ^ set(alone.failed)}"
    check_poison(pipeline, stage.harness)
    assert not (stage.harness.run_directory / "partial").exists()
    if stage.broker.server is not None:
        check_ledger(prepare(stage.spec).plan, stage.sight.journal())
        check_broker(stage, stage.broker.keys)
    assert [" ".join(process.cmdline()) for process in stage.harness.processes()] == []
