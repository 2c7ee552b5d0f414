"""Removing and forgetting runs: whenever that is interrupted, a run is complete, or gone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from common.cache import cache_directory
from coordinator.cli import group
from coordinator.runs.lookup import find_run
from coordinator.runs.removal import remove_run
from coordinator.runs.run_directory import RunDirectory, RunRecord
from coordinator.runs.run_list import list_runs
from tests.support.sudden_death import dies_at

RECORD = RunRecord(run="demo-aaaa", pipeline="demo", signature="aaaa", status="complete")
FILES = {
    *(f"dataset/keep/train-{n}.parquet" for n in range(3)),
    *("dataset/.penstock.json", "parts/one.parquet", "broker/appendonlydir/aof", "pipeline.log", "failures.jsonl"),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSTOCK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("PENSTOCK_BROKER_URL", raising=False)
    return tmp_path / "cache"


def make(cache: Path) -> RunDirectory:
    directory = RunDirectory.of(cache, "demo", "aaaa")
    with directory:
        directory.write(RECORD)
    for name in FILES:
        (directory.path / name).parent.mkdir(parents=True, exist_ok=True)
        (directory.path / name).write_text("rows")
    return directory


def is_listed(cache: Path) -> bool:
    return [record.run for _, record in list_runs(cache)] == ["demo-aaaa"]


def check_whole_or_gone(cache: Path, directory: RunDirectory) -> None:
    there = {name for name in FILES if (directory.path / name).exists()}
    in_dataset = {name for name in there if name.startswith("dataset/")}
    assert len(in_dataset) in (0, 4), "who reads it reads all of it"
    assert there == FILES or not is_listed(cache)


def rm() -> None:
    result = CliRunner().invoke(group, ["rm", "demo-aaaa"])
    assert result.exit_code == 0 or "no run 'demo-aaaa'" in result.output


def gc() -> None:
    CliRunner().invoke(group, ["gc", "--older-than", "0s"], catch_exceptions=False)


def run_anew() -> None:
    """What `run` does to a run directory before it begins, and later `rm`."""
    directory = RunDirectory.of(cache_directory(), "demo", "aaaa")
    with directory:
        if directory.is_condemned:
            directory.clear()
        assert {path.name for path in directory.path.iterdir()} >= {"parts", "broker", "payloads", "lock"}
        directory.write(RECORD)
        assert not directory.is_condemned
    rm()


@pytest.mark.parametrize("finish", [rm, gc, run_anew])
def test_a_run_that_somebody_removes_who_dies_is_whole_or_gone_and_the_next_command_finishes(
    cache: Path, finish: Callable[[], None]
) -> None:
    for change in itertools.count(1):
        directory = make(cache)
        died = dies_at(change, lambda: remove_run(find_run("demo-aaaa", cache, None), None))
        check_whole_or_gone(cache, directory)
        if not died:
            assert change > len(FILES)
            break
        finish()
        left = [path for path in cache.rglob("*") if path.name != "demo"]
        assert left == [], "nothing is left but the pipeline's folder, which may be anybody's while it is empty"


def test_folders_of_others_are_left_alone(cache: Path) -> None:
    (cache / "models").mkdir(parents=True)
    gc()
    assert (cache / "models").is_dir()


def test_a_run_that_is_to_be_forgotten_by_somebody_who_dies_is_whole_or_gone(cache: Path) -> None:
    for change in itertools.count(1):
        directory = make(cache)

        def forget(directory: RunDirectory = directory) -> None:
            with directory:
                directory.clear()

        died = dies_at(change, forget)
        check_whole_or_gone(cache, directory)
        assert is_listed(cache) or directory.is_condemned, "the next run does not resume what is left of it"
        gc()
        assert list(cache.iterdir()) == []
        if not died:
            break


def test_removing_as_a_dry_run_says_what_was_cut_off_and_leaves_it(cache: Path) -> None:
    directory = make(cache)
    with directory:
        directory.condemn()
    result = CliRunner().invoke(group, ["gc", "--dry-run"])
    assert "would remove the rest of demo-aaaa, whose removal was interrupted" in result.output
    assert directory.is_condemned
    with directory:  # whoever finishes it now is not disturbed
        assert "demo-aaaa" not in CliRunner().invoke(group, ["gc"]).output
    result = CliRunner().invoke(group, ["gc"])
    assert "removed the rest of demo-aaaa" in result.output
    assert list(cache.iterdir()) == []
