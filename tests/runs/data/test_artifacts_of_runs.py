"""Artifacts of whole runs: local workers, workers elsewhere, workers that die."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.places import STEPS_FOLDER
from tests.support.runs.harness import Harness, harnesses

SPEC = """
name: artifacts
steps:
  count: {{type: "mysteps:Count", rows: 30, batch_size: 10}}
  note: {{type: "artifact_steps:Note", after: count, input_batch_size: 10}}
  index: {{type: "artifact_steps:Index", after: note, {options}}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    shutil.copy(STEPS_FOLDER / "artifact_steps.py", tmp_path)
    yield from harnesses(tmp_path)


def spec(harness: Harness, options: str = "retries: 0") -> Path:
    return harness.write_spec(SPEC.format(options=options))


def assert_all_there(folder: Path) -> None:
    """Everything that the run saved is there, and nothing else."""
    assert sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*")) == [
        "index/index",
        "note/batch-0",
        "note/batch-10",
        "note/batch-20",
    ]
    assert (folder / "index" / "index" / "rows.txt").read_text() == "30"
    assert json.loads((folder / "index" / "index" / "metadata.json").read_text()) == {"rows": 30}


def test_artifacts_of_local_workers_are_in_the_dataset_and_its_copies(harness: Harness, tmp_path: Path) -> None:
    code, said = harness.run(spec(harness), "--output", tmp_path / "out")
    assert code == 0, said
    assert_all_there(harness.run_directory / "dataset" / "artifacts")
    assert_all_there(tmp_path / "out" / "artifacts")
    assert not (harness.run_directory / "artifacts").exists()
    assert harness.run(spec(harness), "--output", tmp_path / "out")[0] == 0


def test_a_worker_that_dies_while_it_writes_leaves_no_half_artifact(harness: Harness, tmp_path: Path) -> None:
    code, said = harness.run(spec(harness, f'once: "{tmp_path}/once", dies: true'))
    assert code == 0, said
    assert (tmp_path / "once").exists()
    assert_all_there(harness.run_directory / "dataset" / "artifacts")


def test_a_batch_that_is_tried_again_replaces_its_artifact(harness: Harness, tmp_path: Path) -> None:
    code, said = harness.run(spec(harness, f'once: "{tmp_path}/once", retries: 1, backoff: [0, 0]'))
    assert code == 0, said
    assert_all_there(harness.run_directory / "dataset" / "artifacts")


def workers(harness: Harness, redis_url: str) -> list[str]:
    arguments = ["--all-steps", "--broker", redis_url, "--base-dir", str(harness.folder)]
    return [*arguments, "--allow", "mysteps", "--allow", "artifact_steps"]


def test_artifacts_of_workers_elsewhere_travel_through_the_payload_store(
    harness: Harness, redis_url: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    run = harness.start_run(
        spec(harness), "--broker", redis_url, "--workers", "external", "--payloads", f"file://{store}"
    )
    worker = harness.start("pipeline-worker", *workers(harness, redis_url))
    assert run.wait() == 0, run.text + worker.text
    assert_all_there(harness.run_directory / "dataset" / "artifacts")
    assert not any(path.is_file() for path in store.rglob("*"))


def test_workers_elsewhere_without_a_store_end_the_run_and_say_what_to_do(harness: Harness, redis_url: str) -> None:
    run = harness.start_run(spec(harness), "--broker", redis_url, "--workers", "external")
    worker = harness.start("pipeline-worker", *workers(harness, redis_url))
    assert run.wait() == 1, run.text + worker.text
    assert "no place to keep artifact 'batch-0'" in run.text
    assert harness.letters() == []
    assert "run the pipeline with --payloads URL" in run.text
