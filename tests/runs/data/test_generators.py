"""What generators may yield, what `--limit` and `--dry-run` take of it, and routing of what they gave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.runs.harness import Harness, harnesses


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def write(harness: Harness, *generators: str, batch_size: int = 50) -> Path:
    lines = "\n  ".join(generators)
    names = ", ".join(line.partition(":")[0] for line in generators)
    leaf = f"leaf: {{type: 'mysteps:DoubleAsync', after: [{names}], input_batch_size: {batch_size}, seconds: 0.0}}"
    return harness.write_spec(f"name: generated\nsteps:\n  {lines}\n  {leaf}\n")


@pytest.mark.parametrize("says_last", [True, False])
@pytest.mark.parametrize(
    "sizes",
    [[1, 7, 0, 50, 49, 51, 3], [173], [50, 50], [0, 0, 5], [5, 0]],
    ids=["varying", "larger than batch_size", "even", "begins empty", "ends empty"],
)
def test_yields_of_any_size_become_rows_in_order(harness: Harness, sizes: list[int], says_last: bool) -> None:
    spec = write(harness, f"gen: {{type: 'failing_steps:Sizes', sizes: {sizes}, says_last: {says_last}}}")
    code, text = harness.run(spec)
    assert code == 0, text
    assert [row["n"] for row in harness.rows()] == list(range(sum(sizes)))


@pytest.mark.parametrize("sizes", [[], [0], [0, 0]])
def test_a_generator_without_rows_gives_an_empty_leaf_with_its_columns(harness: Harness, sizes: list[int]) -> None:
    spec = write(harness, f"gen: {{type: 'failing_steps:Sizes', sizes: {sizes}, says_last: false}}")
    code, text = harness.run(spec)
    assert code == 0, text
    assert harness.rows() == []
    import pyarrow.parquet as pq

    (file,) = (harness.run_directory / "dataset" / "leaf").glob("*.parquet")
    assert set(pq.read_schema(file).names) == {"n", "double"}
    assert harness.left_over() == []


def test_a_generator_without_rows_beside_one_with_rows_ends_as_well(harness: Harness) -> None:
    spec = harness.write_spec(
        """
name: generated
steps:
  none: {type: "failing_steps:Sizes", sizes: []}
  some: {type: "mysteps:Count", rows: 120}
  pair: {type: "failing_steps:Pair", after: [none, some]}
  all: {type: "failing_steps:Everything", after: none}
"""
    )
    code, text = harness.run(spec)
    assert code == 0, text
    assert harness.rows("pair") == [{"left": None, "right": n} for n in range(120)]
    assert harness.rows("all") == []


@pytest.mark.parametrize("limit", [1, 50, 70, 100, 500, 9_999])
def test_a_limit_takes_the_first_rows_of_each_generator(harness: Harness, limit: int) -> None:
    spec = write(harness, "gen: {type: 'mysteps:Count', rows: 500}")
    code, text = harness.run(spec, "--limit", str(limit))
    assert code == 0, text
    assert [row["n"] for row in harness.rows()] == list(range(min(limit, 500)))


def test_a_limit_holds_for_yields_of_any_size(harness: Harness) -> None:
    spec = write(harness, "gen: {type: 'failing_steps:Sizes', sizes: [3, 100, 0, 7, 1], says_last: false}")
    code, text = harness.run(spec, "--limit", "105")
    assert code == 0, text
    assert [row["n"] for row in harness.rows()] == list(range(105))


@pytest.mark.parametrize("limit", ["0", "-3", "many"])
def test_a_limit_of_no_rows_is_a_usage_error(harness: Harness, limit: str) -> None:
    spec = write(harness, "gen: {type: 'mysteps:Count', rows: 500}")
    code, text = harness.run(spec, "--limit", limit)
    assert code == 2, text
    assert "--limit" in text
    assert not (harness.folder / "cache").exists()


def test_a_limited_run_is_not_taken_for_the_whole_one(harness: Harness) -> None:
    spec = write(harness, "gen: {type: 'mysteps:Count', rows: 500}")
    assert harness.run(spec, "--limit", "7")[0] == 0
    code, text = harness.run(spec)
    assert code == 0, text
    assert "500 rows" in text


def test_a_dry_run_shows_a_row_of_each_leaf_and_keeps_no_state(harness: Harness) -> None:
    spec = write(harness, "gen: {type: 'mysteps:Count', rows: 500}")
    code, text = harness.run(spec, "--dry-run")
    assert code == 0, text
    assert '"text": "row 0"' in text
    assert '"double": 0' in text
    assert not (harness.folder / "cache").exists()
    assert sorted(path.name for path in harness.folder.iterdir() if path.is_dir()) in ([], ["__pycache__"])
    assert harness.left_over() == []


def test_a_dry_run_sends_one_batch_through_every_step(harness: Harness) -> None:
    notes = harness.folder / "notes"
    spec = harness.write_spec(
        f"""
name: generated
steps:
  gen: {{type: "mysteps:Count", rows: 500}}
  dbl: {{type: "mysteps:Double", after: gen, notes: "{notes}"}}
  all: {{type: "failing_steps:Everything", after: dbl}}
"""
    )
    code, text = harness.run(spec, "--dry-run")
    assert code == 0, text
    assert '"all": 50' in text
    assert len(notes.read_text().splitlines()) == 50


def test_a_dry_run_leaves_nothing_on_a_broker_that_others_use(harness: Harness, redis_url: str) -> None:
    spec = write(harness, "gen: {type: 'mysteps:Count', rows: 500}")
    with redis.Redis.from_url(redis_url) as client:
        client.set("someone-elses", 1)
        code, text = harness.run(spec, "--dry-run", "--broker", redis_url)
        assert code == 0, text
        assert client.keys() == [b"someone-elses"]


def test_a_dry_run_says_what_fails_and_keeps_no_state_either(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(
        """
name: generated
steps:
  gen: {type: "mysteps:Count", rows: 500}
  frag: {type: "failing_steps:Fragile", after: gen, bad: [3], on_error: fail, retries: 0}
"""
    )
    code, text = harness.run(spec, "--dry-run", "--broker", redis_url)
    assert code == 1, text
    assert "row 3 is bad" in text
    assert not (harness.folder / "cache").exists()
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == []


def test_a_dry_run_does_not_touch_the_run_that_is_there(harness: Harness) -> None:
    spec = write(harness, "gen: {type: 'mysteps:Count', rows: 120}")
    assert harness.run(spec)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (harness.folder / "cache").rglob("*")}
    assert harness.run(spec, "--dry-run")[0] == 0
    assert {path: path.stat().st_mtime_ns for path in (harness.folder / "cache").rglob("*")} == before


ROUTED = """
name: routed
steps:
  gen: {type: "mysteps:Count", rows: 503}
  a: {type: "mysteps:Double", after: gen, input_batch_size: 20}
  b: {type: "mysteps:DoubleAsync", after: gen, seconds: 0.002}
  c: {type: "failing_steps:Fragile", after: gen, bad: [11, 222], retries: 0}
  join: {type: CombineOutputs, after: [a, b, c]}
routing:
  gen: {function: sample_n_steps, n: 2, seed: 7}
"""


def test_routed_batches_meet_again_the_same_way_in_every_run(harness: Harness) -> None:
    spec = harness.write_spec(ROUTED)
    first, text = harness.run(spec)
    assert first in (0, 3), text
    digest, rows = harness.digest(), [row["n"] for row in harness.rows()]
    failed = harness.record().failed
    assert set(range(503)) - {11, 222} <= set(rows)
    assert rows == sorted(rows)
    for more in ("--set=a.resources.replicas=2", "--set=b.concurrency=3"):
        code, text = harness.run(spec, "--fresh", more)
        assert code == first, text
        assert (harness.digest(), harness.record().failed) == (digest, failed)
    code, _ = harness.run(harness.write_spec(ROUTED.replace("seed: 7", "seed: 8"), "other.yaml"))
    assert code in (0, 3)


def test_a_routing_function_that_raises_ends_the_run_in_words(harness: Harness) -> None:
    spec = harness.write_spec(ROUTED.replace("sample_n_steps, n: 2, seed: 7", '"routes:broken"'))
    (harness.folder / "routes.py").write_text("def broken(steps):\n    raise LookupError('no way')\n")
    code, text = harness.run(spec)
    assert code == 1, text
    assert "the routing function of step 'gen' raised: LookupError: no way" in text
    assert harness.left_over() == []
