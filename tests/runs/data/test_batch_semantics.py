"""What the steps of a run are given, and in which order it comes out: one run with several workers for each step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from common.protocol.batch import Result
from tests.support.places import STEPS_FOLDER
from tests.support.runs.harness import Harness, harnesses
from tests.support.runs.sight import Sight

SPEC = """
name: semantics
steps:
  many:  {type: "mysteps:Count", rows: 147, batch_size: 10}
  few:   {type: "mysteps:Count", rows: 30, batch_size: 7}
  told:  {type: "batch_steps:Told", after: many, input_batch_size: 8, resources: {replicas: 3}, overtaken: overtaken}
  pairs: {type: "batch_steps:Pairs", after: [few, told], input_batch_size: 5, resources: {replicas: 2}}
  other: {type: "batch_steps:EveryOther", after: told, input_batch_size: 10}
  large: {type: "batch_steps:Told", after: other, input_batch_size: 60, output_mappings: {size: large}}
  none:  {type: "batch_steps:Nothing", after: many}
  lost:  {type: "batch_steps:Told", after: none}
  twice: {type: "mysteps:Twice", after: many, input_batch_size: 4, resources: {replicas: 2}}
  odd:   {type: "mysteps:KeepOdd", after: twice, input_batch_size: 9}
  all:   {type: "batch_steps:All", after: [odd, few]}
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Harness]:
    for harness in harnesses(tmp_path_factory.mktemp("semantics")):
        (harness.folder / "batch_steps.py").write_text((STEPS_FOLDER / "batch_steps.py").read_text())
        code, said = harness.run(harness.write_spec(SPEC), "--broker", broker_url)
        assert code == 0, said
        yield harness


@pytest.fixture(scope="module")
def results(done: Harness, broker_url: str) -> dict[str, list[Result]]:
    """Per step the results in the journal."""
    found: dict[str, list[Result]] = {}
    for entry in Sight(done, broker_url).journal():
        if isinstance(entry, Result):
            found.setdefault(entry.step, []).append(entry)
    return found


def test_a_step_gets_batches_of_its_own_size_whatever_the_size_of_those_before_it(
    results: dict[str, list[Result]],
) -> None:
    sizes = {step: [result.taken for result in sorted(found, key=lambda r: r.seq)] for step, found in results.items()}
    assert sizes["told"] == [8] * 18 + [3]
    assert sizes["twice"] == [4] * 36 + [3]
    assert sizes["other"] == [10] * 14 + [7]
    assert sizes["large"] == [60, 10]


def test_a_batch_of_a_join_has_as_many_rows_of_each_step_before_it_and_in_the_end_what_is_left(done: Harness) -> None:
    """In the order of `after`."""
    rows = done.rows("pairs")
    assert [row["pair"] for row in rows] == [[n if n < 30 else None, n] for n in range(147)]
    assert [row["lengths"] for row in rows] == [[5, 5]] * 30 + [[0, 5]] * 115 + [[0, 2]] * 2


def test_rows_come_in_the_order_of_the_batches_whichever_worker_was_faster(
    done: Harness, results: dict[str, list[Result]]
) -> None:
    seqs = [result.seq for result in results["told"]]
    assert seqs != sorted(seqs), "no worker overtook another one, so that this shows nothing"
    assert len({result.worker for result in results["told"]}) > 1
    assert [row["pair"][1] for row in done.rows("pairs")] == list(range(147))


def test_an_output_without_rows_is_passed_over(done: Harness) -> None:
    rows = done.rows("large")
    assert [row["n"] for row in rows] == [n for n in range(147) if n // 10 % 2]
    assert [row["large"] for row in rows] == [60] * 60 + [10] * 10


def test_a_step_that_never_yields_gives_an_empty_leaf(done: Harness, results: dict[str, list[Result]]) -> None:
    assert sum(result.taken for result in results["none"]) == 147
    assert done.rows("lost") == []
    assert "lost" not in results


def test_every_yield_counts_and_a_global_step_gets_everything_as_lists(done: Harness) -> None:
    """Of a step that yields twice, distilabel takes the first yield only."""
    (row,) = done.rows("all")
    assert row["kinds"] == ["list", "list"]
    fours = [range(start, min(start + 4, 147)) for start in range(0, 147, 4)]
    assert row["first"] == [[n, copy] for four in fours for copy in (0, 1) for n in four if n % 2]
    assert row["second"] == [[n, 0] for n in range(30)]


def test_leaves_of_every_level_are_there(done: Harness) -> None:
    folder = done.run_directory / "dataset"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["all", "large", "lost", "pairs"]
