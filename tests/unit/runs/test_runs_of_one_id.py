"""Runs with several run directories: no command picks one by chance, and each takes the path of one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from coordinator.cli import group
from coordinator.runs.run_directory import RunDirectory, RunRecord

COMMANDS = ("status", "failures", "stop", "rm")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSTOCK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("PENSTOCK_BROKER_URL", raising=False)
    return tmp_path / "cache"


def make(cache: Path, pipeline: str) -> RunDirectory:
    directory = RunDirectory.of(cache, pipeline, "aaaa")
    with directory:
        directory.write(RunRecord(run="mine", pipeline=pipeline, signature=pipeline, failed_rows=2, reason=pipeline))
    return directory


def call(*arguments: str) -> Result:
    return CliRunner().invoke(group, arguments)


def check_refused(result: Result, *paths: str) -> None:
    assert result.exit_code == 2
    assert f"run 'mine' has 2 run directories: {', '.join(paths)}; give the path" in result.output


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("run", ["mine", "mi"])
def test_a_run_id_that_two_pipelines_have_is_refused_with_both_directories(cache: Path, command: str, run: str) -> None:
    one, other = make(cache, "one"), make(cache, "other")
    check_refused(call(command, run), str(one.path), str(other.path))
    assert one.read()
    assert other.read()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_copy_is_named_as_one(cache: Path, command: str) -> None:
    original = make(cache, "one").path
    copy = Path(shutil.copytree(original, original.with_name("copy")))
    check_refused(call(command, "mine"), str(original), f"{copy} (a copy of {original})")
    assert original.exists()


def test_the_path_of_a_run_directory_says_which(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = make(cache, "one"), make(cache, "other")
    shown = call("status", str(other.path)).output
    assert f"2 rows; pipeline-coordinator failures {other.path}" in shown
    assert "mine has no failed rows" in call("failures", str(one.path)).output
    assert "mine is not running" in call("stop", str(one.path)).output
    monkeypatch.chdir(other.path.parent)
    assert call("rm", "./aaaa/").exit_code == 0
    assert not other.path.exists()
    assert one.read()


def test_a_path_that_is_none_of_a_run_is_refused(cache: Path) -> None:
    cache.mkdir()
    result = call("rm", f"{cache}/")
    assert result.exit_code == 2
    assert f"{cache} is not a run directory: it has no run.json" in result.output
    assert cache.is_dir()


def test_a_removal_that_was_cut_off_is_finished_by_path(cache: Path) -> None:
    directory = make(cache, "one")
    with directory:
        directory.condemn()
    result = call("status", str(directory.path))
    assert result.exit_code == 2
    assert f"was interrupted; to finish it: pipeline-coordinator rm {directory.path}" in result.output
    assert call("rm", str(directory.path)).exit_code == 0
    assert not directory.path.exists()
