"""`pipeline-coordinator` looks after runs: list, status, failures, stop, rm and gc."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from common.protocol.batch import DeadLetter
from coordinator.cli import group
from coordinator.runs.failures import FailureLog
from coordinator.runs.run_directory import RunDirectory, RunRecord
from tests.support.places import REPOSITORY

HOLD_THE_LOCK = """
import signal, sys
from pathlib import Path
from coordinator.runs.run_directory import RunDirectory
RunDirectory(Path(sys.argv[1])).acquire()
try:
    print("locked", flush=True)
    signal.pause()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("PENSTOCK_BROKER_URL", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(group, [str(argument) for argument in arguments], prog_name="pipeline-coordinator")


def make_run(tmp_path: Path, signature: str, status: str = "complete", days: float = 0.0) -> RunDirectory:
    """A run directory as a run leaves it, last changed some days ago."""
    directory = RunDirectory.of(tmp_path / "cache", "demo", signature)
    when = datetime.now(UTC) - timedelta(days=days)
    fields = {"run": f"demo-{signature}", "pipeline": "demo", "signature": signature, "status": status}
    with directory:
        record = RunRecord.model_validate({**fields, "created": when, "rows": {"keep": 2000}})
        directory.write(record)
        (directory.path / "run.json").write_text(record.model_copy(update={"updated": when}).model_dump_json())
        (directory.path / "dataset").mkdir()
        (directory.path / "dataset" / "part").write_bytes(b"x" * 3_000_000)
    return directory


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[RunDirectory, subprocess.Popen[str]]]:
    """A run whose directory another process has locked."""
    directory = make_run(tmp_path, "cccc", "running", days=30)
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(directory.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield directory, process
        process.kill()


# runs


def test_runs_lists_the_newest_first(tmp_path: Path) -> None:
    make_run(tmp_path, "aaaa", "stopped", days=3)
    make_run(tmp_path, "bbbb", days=0)
    lines = [line.split() for line in call("runs").output.splitlines()]
    assert lines[-2:] == [
        ["demo-bbbb", "demo", "complete", "just", "now", "2,000", "here"],
        ["demo-aaaa", "demo", "stopped", "3", "days", "ago", "2,000", "here"],
    ]


def test_without_runs_it_says_where_it_looked(tmp_path: Path) -> None:
    assert call("runs").output.startswith(f"There are no runs in {tmp_path}/cache")


def test_a_run_whose_coordinator_was_killed_is_interrupted_not_running(tmp_path: Path) -> None:
    make_run(tmp_path, "aaaa", "running")
    assert " interrupted " in call("runs").output
    assert "interrupted: its coordinator has ended" in call("status", "demo").output


def test_status_tells_who_coordinates(running: tuple[RunDirectory, subprocess.Popen[str]]) -> None:
    directory, process = running
    output = call("status", "demo-c").output
    assert f"running, coordinated by process {process.pid} on " in output
    assert str(directory.path) in output


def test_a_prefix_of_two_runs_is_refused_with_both_names(tmp_path: Path) -> None:
    make_run(tmp_path, "aaaa")
    make_run(tmp_path, "abbb")
    result = call("rm", "demo-a")
    assert result.exit_code == 2
    assert "'demo-a' matches demo-aaaa, demo-abbb" in result.stderr


@pytest.mark.parametrize("command", ["status", "failures"])
def test_of_several_runs_of_a_pipeline_the_newest_is_shown_and_the_others_are_named(
    tmp_path: Path, command: str
) -> None:
    for signature, days in (("aaaa", 2), ("bbbb", 0), ("dddd", 1)):
        make_run(tmp_path, signature, days=days)
    result = call(command, "demo")
    assert result.exit_code == 0
    assert result.stderr == (
        "'demo' has 3 runs; taking demo-bbbb, the newest one; to see another one, give its id: demo-dddd, demo-aaaa\n"
    )
    assert "demo-bbbb" in result.stdout
    assert "demo-aaaa" not in result.stdout
    assert call(command, "demo-aaaa").stderr == ""


def test_of_several_runs_of_a_pipeline_the_one_in_progress_is_shown(
    tmp_path: Path, running: tuple[RunDirectory, subprocess.Popen[str]]
) -> None:
    make_run(tmp_path, "aaaa")
    result = call("status", "demo")
    assert result.stderr.startswith("'demo' has 2 runs; taking demo-cccc, which is in progress; ")
    assert f"running, coordinated by process {running[1].pid} on " in result.stdout


@pytest.mark.parametrize("command", ["stop", "rm"])
def test_a_command_that_changes_a_run_refuses_a_name_of_several(tmp_path: Path, command: str) -> None:
    directories = [make_run(tmp_path, "aaaa"), make_run(tmp_path, "bbbb")]
    result = call(command, "demo")
    assert result.exit_code == 2
    assert "'demo' matches demo-aaaa, demo-bbbb; give more of the id" in result.stderr
    assert all(directory.path.exists() for directory in directories)


def test_the_beginning_of_several_ids_is_refused_if_it_is_not_a_pipelines_name(tmp_path: Path) -> None:
    make_run(tmp_path, "aaaa")
    make_run(tmp_path, "abbb")
    assert "'demo-a' matches demo-aaaa, demo-abbb" in call("status", "demo-a").stderr


def test_an_unknown_run_is_answered_with_those_there_are(tmp_path: Path) -> None:
    make_run(tmp_path, "aaaa")
    result = call("status", "other")
    assert result.exit_code == 2
    assert "no run 'other'" in result.stderr
    assert "the runs there are demo-aaaa" in result.stderr


# failures


@pytest.fixture
def failed(tmp_path: Path) -> RunDirectory:
    directory = make_run(tmp_path, "aaaa")
    log = FailureLog(directory.failures)
    letters = [
        DeadLetter("left", seq, 0, 3, f"RowError: request 17{seq} failed", 3, "ab12", {"text": "to be " * 99})
        for seq in range(30)
    ]
    log.append([*letters, DeadLetter("keep", 1, 0, 0, "\x1b[31mKeyError: 'x'", 1, "cd34")])
    log.redone("left", 0, 1)
    return directory


def test_failures_counts_kinds_of_errors_first(failed: RunDirectory) -> None:
    lines = call("failures", "demo").output.splitlines()
    assert lines[0] == "demo-aaaa: 30 rows failed"
    assert [line.split()[:3] for line in lines[3:5]] == [["left", "29", "RowError:"], ["keep", "1", "KeyError:"]]


def test_failures_shows_rows_with_step_place_error_attempts_and_worker(failed: RunDirectory) -> None:
    output = call("failures", "demo", "--step", "left", "--limit", "2").output
    assert "left  batch 1, row 3  3 attempts, worker ab12\n" in output
    assert "  error  RowError: request 171 failed\n" in output
    assert '  row    {"text": "to be to be' in output
    assert output.count("batch ") == 2
    assert output.rstrip().endswith(
        "27 more rows; to see all of them: pipeline-coordinator failures demo-aaaa --step left --json"
    )


def test_failures_as_json_has_everything_and_only_that(failed: RunDirectory) -> None:
    letters = [json.loads(line) for line in call("failures", "demo", "--json").stdout.splitlines()]
    assert len(letters) == 30
    assert letters[0]["seq"] == 1
    assert letters[0]["row"] == {"text": "to be " * 99}
    assert len(call("failures", "demo", "--json", "--limit", "3").stdout.splitlines()) == 3


def test_failures_prints_no_escapes_of_a_rows(failed: RunDirectory) -> None:
    assert "\x1b" not in call("failures", "demo").output


def test_a_misspelt_step_is_answered_with_the_nearest(failed: RunDirectory) -> None:
    result = call("failures", "demo", "--step", "lefft")
    assert result.exit_code == 2
    assert "no rows failed in step 'lefft'; did you mean 'left'?" in result.stderr


def test_a_run_without_failures_says_so(tmp_path: Path) -> None:
    make_run(tmp_path, "aaaa")
    result = call("failures", "demo")
    assert (result.exit_code, result.output) == (0, "demo-aaaa has no failed rows.\n")


# stop, rm, gc


def test_stop_interrupts_the_coordinator_that_holds_the_lock(
    running: tuple[RunDirectory, subprocess.Popen[str]],
) -> None:
    _, process = running
    result = call("stop", "demo-c")
    assert result.exit_code == 0
    assert f"Asked process {process.pid} on " in result.output
    assert process.stdout is not None
    assert process.stdout.readline() == "interrupted\n"


def test_stop_never_signals_a_process_that_only_has_the_number(
    running: tuple[RunDirectory, subprocess.Popen[str]],
) -> None:
    directory, process = running
    with subprocess.Popen(["sleep", "60"]) as bystander:
        lock = directory.path / "lock"
        lock.write_text(lock.read_text().replace(f"process {process.pid} ", f"process {bystander.pid} "))
        result = call("stop", "demo-c")
        assert result.exit_code == 1
        assert "cannot be reached from here" in result.stderr
        assert bystander.poll() is None
        bystander.send_signal(signal.SIGKILL)


def test_there_is_nothing_to_stop_in_a_run_that_has_ended(tmp_path: Path) -> None:
    make_run(tmp_path, "aaaa")
    result = call("stop", "demo")
    assert (result.exit_code, result.output) == (0, "demo-aaaa is not running; there is nothing to stop.\n")


def test_rm_removes_the_directory_and_says_what_it_freed(tmp_path: Path) -> None:
    directory = make_run(tmp_path, "aaaa")
    other = make_run(tmp_path, "bbbb")
    result = call("rm", "demo-a")
    assert result.exit_code == 0
    assert f"{directory.path} (3.0 MB)" in result.output
    assert not directory.path.exists()
    assert other.path.exists()


@pytest.mark.parametrize("command", [["rm", "demo-c"], ["gc", "--older-than", "1d", "--unfinished"]])
def test_a_run_that_is_coordinated_is_not_removed(
    running: tuple[RunDirectory, subprocess.Popen[str]], command: list[str]
) -> None:
    directory, _ = running
    result = call(*command)
    assert result.exit_code == (75 if command[0] == "rm" else 0)
    assert (directory.path / "dataset" / "part").exists()


def test_gc_removes_old_complete_runs_alone(tmp_path: Path) -> None:
    old, new = make_run(tmp_path, "aaaa", days=8), make_run(tmp_path, "bbbb", days=6)
    unfinished = make_run(tmp_path, "dddd", "stopped", days=80)
    result = call("gc")
    assert result.output == (
        "removed demo-aaaa (complete, 8 days ago, 3.0 MB)\n"
        "Freed 3.0 MB in 1 run.\n"
        "Kept 1 old run that can still be resumed; --unfinished removes those too.\n"
    )
    assert [each.path.exists() for each in (old, new, unfinished)] == [False, True, True]


def test_gc_takes_unfinished_runs_only_when_told_to(tmp_path: Path) -> None:
    unfinished = make_run(tmp_path, "dddd", "stopped", days=80)
    call("gc", "--unfinished")
    assert not unfinished.path.exists()


def test_gc_as_a_dry_run_removes_nothing(tmp_path: Path) -> None:
    old = make_run(tmp_path, "aaaa", days=8)
    result = call("gc", "--dry-run")
    assert "would remove demo-aaaa (complete, 8 days ago, 3.0 MB)\nWould free 3.0 MB in 1 run.\n" in result.output
    assert (old.path / "dataset" / "part").exists()


def test_what_has_another_name_elsewhere_is_not_counted_as_freed(tmp_path: Path) -> None:
    directory = make_run(tmp_path, "aaaa")
    os.link(directory.path / "dataset" / "part", tmp_path / "copy")
    assert "3.0 MB" not in call("rm", "demo").output
    assert (tmp_path / "copy").exists()


def put_elsewhere(directory: RunDirectory, folder: Path) -> None:
    """Moves it, as to another disk; the link that stays is not followed when runs are removed."""
    directory.path.rename(folder)
    directory.path.symlink_to(folder)


def test_a_directory_that_cannot_be_removed_is_said(tmp_path: Path) -> None:
    directory = make_run(tmp_path, "aaaa")
    put_elsewhere(directory, tmp_path / "elsewhere")
    result = call("rm", "demo-a")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    said = " ".join(result.output.split())
    assert f"{directory.path} cannot be removed: " in said
    assert f"it is a link to {tmp_path}/elsewhere" in said
    assert "nothing was removed" in said
    assert (tmp_path / "elsewhere" / "run.json").exists()


def test_gc_goes_on_where_a_directory_cannot_be_removed_and_ends_with_1(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, signature * 4, days=8 + place) for place, signature in enumerate("abc")]
    put_elsewhere(runs[1], tmp_path / "elsewhere")
    result = call("gc")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert f"kept demo-bbbb: {runs[1].path} cannot be removed: " in result.stderr
    assert "Freed 6.0 MB in 2 runs." in result.stdout
    assert [run.path.exists() for run in runs] == [False, True, False]
