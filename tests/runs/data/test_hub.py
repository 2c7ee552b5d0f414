"""Runs at the hub: their rows come from there, go there, and stay here when the hub refuses them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.sight import Sight
from tests.support.servers.hub_server import TOKEN, Hub, serving_hub

QUOTES = """
name: quotes
steps:
  load: {type: LoadDataFromDicts, data: [{n: 1}, {n: 2}, {n: 3}]}
  double: {type: "mysteps:Double", after: load}
"""
READING = """
name: reading
steps:
  load: {type: LoadDataFromHub, repo_id: me/numbers, batch_size: 5}
  double: {type: "mysteps:Double", after: load, input_batch_size: 5}
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving_hub() as hub:
        yield hub


@pytest.fixture
def harness(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    """Its commands, and the workers that they start, have the hub in their environment."""
    for name, value in hub.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    yield from harnesses(tmp_path)


def numbers(first: int, count: int) -> dict[str, bytes]:
    """The files of a dataset with one column."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{"n": n} for n in range(first, first + count)]), buffer)
    return {"data/train-00000-of-00001.parquet": buffer.getvalue()}


def doubled(first: int, count: int) -> list[dict[str, Any]]:
    return [{"n": n, "double": 2 * n} for n in range(first, first + count)]


def test_a_run_is_pushed_and_the_rows_that_another_one_loads_are_the_same(harness: Harness, hub: Hub) -> None:
    spec = harness.write_spec(QUOTES)
    code, text = harness.run(spec, "--push-to-hub", "me/numbers", "--private")
    assert code == 0, text
    assert f"on the hub  {hub.url}/datasets/me/numbers" in text
    repository = hub.repositories["me/numbers"]
    assert repository.private
    assert repository.files["pipeline.yaml"] == QUOTES.encode()
    assert b"coordinates quotes-" in repository.files["pipeline.log"]
    assert b"pipeline-coordinator run pipeline.yaml\n" in repository.files["README.md"]
    code, text = harness.run(harness.write_spec(READING.replace("Double", "Twice"), "reading.yaml"))
    assert code == 0, text
    (home,) = (harness.folder / "cache" / "reading").iterdir()
    expected = [{**row, "copy": copy} for copy in range(2) for row in doubled(1, 3)]
    assert harness.rows(dataset=home / "dataset") == expected


def test_a_refused_push_leaves_a_complete_run_that_the_same_command_pushes(harness: Harness, hub: Hub) -> None:
    spec = harness.write_spec(QUOTES)
    hub.refusals["POST", "/api/repos/create"] = [401]
    code, text = harness.run(spec, "--push-to-hub", "me/numbers")
    assert code == 5, text
    assert "is complete: 3 rows" in text
    assert "not pushed  the dataset was not pushed to 'me/numbers': the hub refuses the token" in text
    assert f"push again  pipeline-coordinator run {spec} --push-to-hub me/numbers" in text
    assert harness.rows() == doubled(1, 3)
    assert harness.record().status == "complete"
    code, text = harness.run(spec, "--push-to-hub", "me/numbers")
    assert code == 0, text
    assert "was already complete, nothing was done" in text
    assert "double/train-00000-of-00001.parquet" not in hub.repositories["me/numbers"].files
    assert "default/train-00000-of-00001.parquet" in hub.repositories["me/numbers"].files
    assert TOKEN not in text


def test_a_push_that_cannot_be_is_refused_before_the_run(
    harness: Harness, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = harness.write_spec(QUOTES)
    for arguments, said in (
        (["--push-to-hub", "not/a/name"], "'not/a/name' cannot be the name of a dataset on the hub"),
        (["--push-to-hub", "me/numbers", "--dry-run"], "a dry run keeps nothing"),
        (["--private"], "--private works only with --push-to-hub"),
    ):
        code, text = harness.run(spec, *arguments)
        assert (code, said in text) == (2, True), text
    monkeypatch.setenv("HF_TOKEN", "")
    code, text = harness.run(spec, "--push-to-hub", "me/numbers")
    assert (code, "export it as HF_TOKEN" in text) == (2, True), text
    assert hub.requests == []
    assert not list((harness.folder / "cache").glob("quotes/*/run.json"))


def test_a_run_reads_what_was_there_when_it_began_and_goes_on_where_a_worker_died(harness: Harness, hub: Hub) -> None:
    repository = hub.add("me/numbers", numbers(0, 200))
    began = repository.head
    harness.settings["DISPATCH_SLACK"] = harness.settings["STEP_BACKLOG"] = "1"
    gate = harness.folder / "gate"
    gate.touch()
    gated = READING.replace('"mysteps:Double"', f'"mysteps:Gated", gate: {gate}, at: 0')
    spec = harness.write_spec(gated)
    run = harness.start_run(spec)
    wait_for(lambda: (harness.folder / "gate.waiting").exists(), what="the first rows")
    sight = Sight(harness)
    assert sight.results("load") < 200 / 5
    repository.commit(numbers(1_000, 50))
    sight.worker("load").kill()
    gate.unlink()
    assert run.wait() == 0, run.text
    assert harness.rows() == doubled(0, 200)
    files = hub.asked("GET", "/datasets/me/numbers/resolve/")
    assert files
    assert all(f"/resolve/{began}/" in path for path in files if path.endswith(".parquet"))
    code, text = harness.run(spec)
    assert code == 0, text
    assert len(list((harness.folder / "cache" / "reading").iterdir())) == 2, "another commit is another run"


def test_rows_are_pushed_in_the_middle_of_a_pipeline_and_go_on(harness: Harness, hub: Hub) -> None:
    spec = harness.write_spec(
        QUOTES
        + "  push: {type: PushToHub, after: load, repo_id: me/numbers, config: raw, split: test, private: true}\n"
        + '  again: {type: "mysteps:Double", after: push}\n'
    )
    hub.refusals["POST", "/api/datasets/me/numbers/commit"] = [403]
    code, text = harness.run(spec)
    assert code == 0, text
    assert harness.rows("again") == doubled(1, 3)
    repository = hub.repositories["me/numbers"]
    assert repository.private
    (name,) = (path for path in repository.files if path.endswith(".parquet"))
    assert pq.read_table(io.BytesIO(repository.files[name])).to_pylist() == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert "config_name: raw" in repository.files["README.md"].decode()
    assert "- split: test" in repository.files["README.md"].decode()
