"""Runs that are started over, resumed or removed after a command has chosen them and before it has their lock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from common.errors import EXIT_COMPLETE, EXIT_FENCED
from coordinator.cli import group
from coordinator.runs.run_directory import RunDirectory, RunRecord
from tests.support.meanwhile import before_the_lock, in_a_child

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
OLD = RunRecord(run="demo-aaaa", pipeline="demo", signature="aaaa", status="complete", created=LONG_AGO)
NEW = OLD.model_copy(update={"created": datetime.now(UTC)})
GC = ("gc", "--older-than", "0s", "--unfinished")
RM = ("rm", "demo-aaaa")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSTOCK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("PENSTOCK_BROKER_URL", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def directory(cache: Path) -> RunDirectory:
    directory = RunDirectory.of(cache, "demo", "aaaa")
    with directory:
        directory.write(OLD)
    return directory


def begin_anew(directory: RunDirectory) -> None:
    with RunDirectory(directory.path) as other:
        other.clear()
        other.write(NEW)
        (other.path / "dataset").mkdir()


def go_on(directory: RunDirectory) -> None:
    with RunDirectory(directory.path) as other:
        other.update(status="stopped")


def check(directory: RunDirectory, command: tuple[str, ...], code: int, words: str, change: Callable[[], None]) -> None:
    """The command that is overtaken by `change` says so and ends with `code`."""

    def overtaken() -> None:
        before_the_lock(directory, change)
        result = CliRunner().invoke(group, command)
        assert (result.exit_code, words in result.output) == (code, True), result.output

    in_a_child(overtaken)


@pytest.mark.parametrize("was_condemned", [False, True], ids=["whole", "condemned"])
@pytest.mark.parametrize(("command", "code"), [(RM, EXIT_FENCED), (GC, EXIT_COMPLETE)], ids=["rm", "gc"])
def test_a_run_that_was_begun_anew_meanwhile_is_left_alone(
    directory: RunDirectory, command: tuple[str, ...], code: int, was_condemned: bool
) -> None:
    if was_condemned:
        with directory:
            directory.condemn()
    check(directory, command, code, "was started over meanwhile", lambda: begin_anew(directory))
    record = directory.read()
    assert record is not None
    assert record.created == NEW.created
    assert (directory.path / "dataset").is_dir()


def test_a_run_that_was_gone_on_with_meanwhile_is_not_old_any_more(directory: RunDirectory) -> None:
    check(directory, GC, EXIT_COMPLETE, "was resumed meanwhile", lambda: go_on(directory))
    assert directory.read() is not None


def test_who_removes_a_run_that_was_gone_on_with_meanwhile_removes_what_it_has_now(
    directory: RunDirectory, tmp_path: Path
) -> None:
    payloads = tmp_path / "payloads" / OLD.run

    def go_on_with_payloads() -> None:
        payloads.mkdir(parents=True)
        with RunDirectory(directory.path) as other:
            other.update(payloads=[str(payloads)])

    check(directory, RM, EXIT_COMPLETE, str(payloads), go_on_with_payloads)
    assert not payloads.exists()


@pytest.mark.parametrize("command", [RM, GC], ids=["rm", "gc"])
def test_a_run_that_was_removed_meanwhile_is_not_made_again(directory: RunDirectory, command: tuple[str, ...]) -> None:
    code = EXIT_FENCED if command is RM else EXIT_COMPLETE
    check(directory, command, code, "was removed meanwhile", lambda: RunDirectory(directory.path).remove())
    assert not directory.path.exists()
