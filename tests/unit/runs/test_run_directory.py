"""The directory of a run: where it is, which process has it, what it records."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.cache import cache_directory
from common.errors import EXIT_FENCED, Fenced, RunError, UsageError
from coordinator.runs.run_directory import CONDEMNED, RunDirectory, RunRecord
from coordinator.runs.run_list import list_runs

HOLD_THE_LOCK = """
import sys
from pathlib import Path
from coordinator.runs.run_directory import RunDirectory
RunDirectory(Path(sys.argv[1])).acquire()
print("locked", flush=True)
sys.stdin.read()
"""

LOOK_AT_THE_HOLDER = """
import sys
from pathlib import Path
from coordinator.runs.run_directory import RunDirectory
print("looking", flush=True)
while True:
    RunDirectory(Path(sys.argv[1])).holder()
"""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def record(run: str = "r1", **fields: object) -> RunRecord:
    return RunRecord.model_validate({"run": run, "pipeline": "demo", "signature": "0123456789abcdef", **fields})


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory(tmp_path / "demo" / "0123456789ab") as directory:
        yield directory


@pytest.fixture
def held_elsewhere(tmp_path: Path) -> Iterator[tuple[RunDirectory, subprocess.Popen[str]]]:
    """A run directory whose lock another process holds."""
    path = tmp_path / "demo" / "held"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield RunDirectory(path), holder
        holder.kill()


def test_a_second_process_is_refused_with_the_pid_of_the_first(
    held_elsewhere: tuple[RunDirectory, subprocess.Popen[str]],
) -> None:
    directory, holder = held_elsewhere
    with pytest.raises(Fenced, match=rf"{directory.path} is in use by process {holder.pid} on ") as refused:
        directory.acquire()
    assert refused.value.exit_code == EXIT_FENCED == 75


def test_the_refusal_names_the_command_that_stops_the_run(
    held_elsewhere: tuple[RunDirectory, subprocess.Popen[str]],
) -> None:
    directory, _ = held_elsewhere
    with pytest.raises(Fenced, match=rf"pipeline-coordinator stop {directory.path}$"):
        directory.acquire()


def test_the_lock_is_free_as_soon_as_its_process_is_killed(
    held_elsewhere: tuple[RunDirectory, subprocess.Popen[str]],
) -> None:
    directory, holder = held_elsewhere
    holder.kill()
    holder.wait()
    assert directory.holder() is None
    directory.acquire()
    assert str(directory.holder()) == f"process {os.getpid()} on {os.uname().nodename}"
    directory.release()


def test_the_holder_of_a_lock_is_known_to_others(held_elsewhere: tuple[RunDirectory, subprocess.Popen[str]]) -> None:
    directory, holder = held_elsewhere
    assert str(directory.holder()).startswith(f"process {holder.pid} on ")


def test_a_directory_that_others_look_at_can_still_be_locked(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "run"):
        pass  # made
    looker = subprocess.Popen([sys.executable, "-c", LOOK_AT_THE_HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE)
    with looker:
        assert looker.stdout is not None
        assert looker.stdout.readline() == b"looking\n"
        try:
            for _ in range(200):
                with RunDirectory(tmp_path / "run"):
                    pass
            assert looker.poll() is None, "it looked all the while"
        finally:
            looker.kill()


def test_acquiring_makes_the_layout(directory: RunDirectory) -> None:
    assert {path.name for path in directory.path.iterdir()} == {"parts", "broker", "payloads", "lock"}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_run_directories_and_the_cache_are_for_this_user_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with RunDirectory(tmp_path / "new" / "cache" / "demo" / "0123456789ab") as directory:
            made = [directory.path, *(directory.path / name for name in ("parts", "broker", "payloads"))]
    finally:
        os.umask(before)
    made += list(directory.path.parents)[:3]
    assert {path: mode_of(path) for path in made} == dict.fromkeys(made, 0o700)


def test_a_run_directory_that_others_could_enter_is_closed_when_it_is_opened_and_the_cache_is_left_as_it_is(
    tmp_path: Path,
) -> None:
    path = tmp_path / "demo" / "0123456789ab"
    path.mkdir(parents=True)
    path.parent.chmod(0o775)
    path.chmod(0o2755)
    with RunDirectory(path):
        assert mode_of(path) == 0o2700
    assert mode_of(path.parent) == 0o775


def test_the_run_directory_of_another_user_keeps_its_mode(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("giving a folder to another user takes root")
    path = tmp_path / "demo" / "0123456789ab"
    path.mkdir(parents=True)
    path.chmod(0o770)
    os.chown(path, 12345, 12345)
    with RunDirectory(path):
        assert mode_of(path) == 0o770


def test_a_record_is_read_as_it_was_written(directory: RunDirectory) -> None:
    assert directory.read() is None
    written = directory.write(record(rows={"keep": 7}, failed_rows=2, dataset=Path("/data/out")))
    assert directory.read() == written
    assert not list(directory.path.glob(".*")), "the draft is gone"


def test_an_update_keeps_the_other_fields_and_moves_the_time(directory: RunDirectory) -> None:
    before = directory.write(record(rows={"keep": 7}))
    after = directory.update(status="complete")
    assert (after.status, after.rows, after.created) == ("complete", {"keep": 7}, before.created)
    assert after.updated > before.updated


def test_an_unknown_status_is_not_recorded(directory: RunDirectory) -> None:
    directory.write(record())
    with pytest.raises(ValueError, match="status"):
        directory.update(status="done")
    assert (directory.read() or record()).status == "running"


def test_an_update_needs_a_record(directory: RunDirectory) -> None:
    with pytest.raises(RunError, match=r"has no run\.json"):
        directory.update(status="complete")


def test_the_broker_is_recorded_without_its_password(directory: RunDirectory) -> None:
    directory.write(record(broker="rediss://worker:s3cret@broker.example:6380/2"))
    text = (directory.path / "run.json").read_text()
    assert "s3cret" not in text
    assert "broker.example:6380/2" in text


def test_a_record_that_was_damaged_is_an_error_with_its_path(directory: RunDirectory) -> None:
    (directory.path / "run.json").write_text('{"run": "r1"')
    with pytest.raises(RunError, match=rf"{directory.path}/run\.json cannot be read"):
        directory.read()


def test_runs_are_listed_newest_first_and_damaged_ones_left_out(tmp_path: Path) -> None:
    for day, run in enumerate(("old", "new", "middle")):
        with RunDirectory.of(tmp_path, "demo", run) as directory:
            directory.write(record(run, created=f"2024-01-{(1, 3, 2)[day]:02}T00:00:00Z"))
    with RunDirectory.of(tmp_path, "demo", "damaged") as directory:
        (directory.path / "run.json").write_text("[]")
    assert [found.run for _, found in list_runs(tmp_path)] == ["new", "middle", "old"]


def test_no_runs_are_listed_where_there_is_no_cache(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nowhere") == []


def test_removing_a_run_removes_the_empty_folder_of_its_pipeline_too(tmp_path: Path) -> None:
    first, second = (RunDirectory.of(tmp_path, "demo", signature) for signature in ("1", "2"))
    for directory in (first, second):
        with directory:
            directory.write(record())
    first.remove()
    assert not first.path.exists()
    assert second.path.exists()
    second.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_run_in_use_is_not_removed(held_elsewhere: tuple[RunDirectory, subprocess.Popen[str]]) -> None:
    directory, _ = held_elsewhere
    with pytest.raises(Fenced):
        directory.remove()
    assert directory.parts.exists()


def test_a_folder_that_is_not_a_run_directory_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("ten years of work")
    with pytest.raises(UsageError, match="is not a run directory"):
        RunDirectory(tmp_path).remove()
    assert (tmp_path / "thesis.tex").exists()


def test_a_directory_that_cannot_be_made_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/run cannot be used: .*--cache-dir"):
        RunDirectory(tmp_path / "file" / "run").acquire()


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../../etc", "süß", ".hidden"])
def test_no_name_of_a_pipeline_leads_out_of_the_cache(tmp_path: Path, name: str) -> None:
    path = RunDirectory.of(tmp_path, name, "0123456789abcdef").path.resolve()
    assert path.parent.parent == tmp_path.resolve()
    assert path.name == "0123456789ab"


def test_the_cache_is_the_argument_then_the_variable_then_the_xdg_folder_then_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("PENSTOCK_CACHE_DIR", str(tmp_path / "variable"))
    assert cache_directory(tmp_path / "argument") == tmp_path / "argument"
    assert cache_directory() == tmp_path / "variable"
    monkeypatch.delenv("PENSTOCK_CACHE_DIR")
    assert cache_directory() == tmp_path / "xdg" / "penstock"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == tmp_path / "home" / ".cache" / "penstock"


def test_unknown_fields_of_a_later_version_are_ignored(directory: RunDirectory) -> None:
    fields = json.loads(record().model_dump_json()) | {"colour": "green"}
    (directory.path / "run.json").write_text(json.dumps(fields))
    assert directory.read() is not None


def test_a_removal_whose_record_a_crash_has_emptied_is_finished(directory: RunDirectory) -> None:
    directory.write(record())
    directory.condemn()
    (directory.path / CONDEMNED).write_bytes(b"\0" * 100)
    assert directory.read_condemned() is None
    directory.clear()
    directory.write(record("r2"))
    assert not directory.is_condemned
