"""What counts as a run directory: what is left of one that was removed does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.dataset.partial import PARTIAL, remove_partial, write_partial
from coordinator.identity.known_data import DATA, DataRecord
from coordinator.runs.run_directory import RunDirectory, RunRecord
from coordinator.runs.run_list import condemned_runs, folders_of_runs, list_runs
from tests.support.finished_runs import write_parts
from tests.support.sudden_death import dies_at

RECORD = RunRecord(run="demo-aaaa", pipeline="demo", signature="aaaa")
LEFT = ".aaaa.removed-0123456789ab"


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory.of(tmp_path, "demo", "aaaa")
    with directory:
        directory.write(RECORD)
    (directory.path / DATA).write_text('{"content": "aaaa", "signature": "aaaa", "files": {}}')
    return directory


def test_what_is_left_of_a_run_that_was_removed_is_no_run(tmp_path: Path, directory: RunDirectory) -> None:
    assert folders_of_runs(directory.path.parent) == [directory.path]
    assert [record.run for _, record in list_runs(tmp_path)] == ["demo-aaaa"]
    assert len(list(DataRecord.all(directory.path.parent))) == 1
    left = RunDirectory(directory.path.rename(directory.path.with_name(LEFT)))
    assert list_runs(tmp_path) == []
    assert list(DataRecord.all(left.path.parent)) == [], "its data are not known any more"
    (left.path / "run.json").rename(left.path / ".removed.json")
    assert condemned_runs(tmp_path) == []


def test_a_run_of_a_pipeline_whose_name_begins_with_a_dot_is_one(tmp_path: Path) -> None:
    directory = RunDirectory.of(tmp_path, ".demo", "aaaa")
    with directory:
        directory.write(RECORD)
    assert [found.path for found, _ in list_runs(tmp_path)] == [directory.path]


def test_what_somebody_who_died_has_left_of_partial_rows_is_swept_by_the_next_user(directory: RunDirectory) -> None:
    with directory:
        parts = {"keep": write_parts(directory.parts, "keep", [{"n": 1}])}
    for act in (
        lambda: write_partial(directory.path, directory.parts, parts, "it was stopped", "run"),
        lambda: remove_partial(directory.path),
    ):
        change = 1
        while True:
            write_partial(directory.path, directory.parts, parts, "it was stopped", "run")
            died = dies_at(change, act)
            with directory:
                remove_partial(directory.path)
            assert [path.name for path in directory.path.iterdir() if PARTIAL in path.name] == []
            if not died:
                break
            change += 1
        assert change > 1
