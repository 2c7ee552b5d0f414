"""What holds at the end of a run of the fold: nothing is left, and every row is accounted for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from common.protocol.batch import Entry, Result
from common.protocol.usage import Usage
from coordinator.fold.batch_manager import BatchManager
from tests.support.fold.sink import Sink
from tests.support.fold.workers import Workers


def check_nothing_is_left(manager: BatchManager) -> None:
    """The fold waits for nothing, and holds nothing."""
    holdings = manager.holdings
    assert (holdings.in_broker, holdings.in_store, holdings.files) == (0, 0, set())
    for state in manager.steps.values():
        assert state.input_ended
        assert state.output_ended
        waiting = (state.open, state.breaker.held, state.errors, state.log.early, state.fork.unrouted)
        assert not any((*waiting, state.fork.choices, state.inflow.routes, state.unwritten.outputs))
        assert all(edge.exhausted for edge in state.inflow.edges)


def check_ledger(manager: BatchManager, journal: Sequence[Entry], workers: Workers, sink: Sink) -> None:
    """On every edge, rows committed = rows taken; per step, rows in = processed + failed + lost at a join.

    A step that was given up counts all positions as failed: nobody has told the fold which of them are holes.
    """
    applied = applied_results(journal)
    for name in workers.given_up:
        rows = max(map(len, workers.batches[name][0]))
        applied[name] = [Result(name, 0, 0, taken=rows, failed=rows)]
    for name, state in manager.steps.items():
        results = applied[name]
        counts = state.counts
        assert counts.batches == counts.done == len(results)
        assert counts.taken == sum(result.taken for result in results)
        assert counts.failed == sum(result.failed for result in results)
        assert counts.skipped == sum(result.skipped for result in results)
        assert counts.lost == sum(result.lost for result in results)
        assert counts.holes == sum(result.holes for result in results)
        assert counts.usage == sum((result.usage for result in results), Usage())
        assert counts.saved == sum((result.saved for result in results), Usage())
        assert counts.out == sum(result.rows - result.holes for result in results)
        given = list(workers.batches[name].values())
        positions = sum(max(map(len, inputs)) for inputs in given)
        holes = sum(inputs[0].count(None) for inputs in given if len(inputs) == 1)
        if state.plan.kind != "generator" and name not in workers.given_up:
            assert positions == counts.taken + counts.lost + holes
        for edge in state.inflow.edges:
            assert edge.rows_in == edge.rows_out
            source = manager.steps[edge.source]
            if not source.plan.routed:
                assert edge.rows_in == source.counts.out + source.counts.holes
        assert sum(edge.rows_out for edge in state.inflow.edges) == sum(
            len(rows) for inputs in given for rows in inputs
        )
        if not manager.plan.successors(name):
            assert counts.written == counts.out == len(sink.leaves[name])


def applied_results(journal: Sequence[Entry]) -> dict[str, list[Result]]:
    """The result that counts of each batch: that of its last attempt."""
    results: dict[tuple[str, int], Result] = {}
    for entry in journal:
        if isinstance(entry, Result):
            results[entry.step, entry.seq] = entry
    by_step: dict[str, list[Result]] = defaultdict(list)
    for result in results.values():
        by_step[result.step].append(result)
    return by_step
