"""The guardian, with real processes: whatever ends the coordinator, its children end too, in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.errors import RunError
from coordinator.local.guardian import BROKER, WORKERS, Child, Guardian

WaitUntil = Callable[..., None]
SLEEP = ["sleep", "300"]
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(300)"
)

# A broker that says, when it is told to end, whether the worker whose pid is its argument still runs.
LAST_LOOK = """
import os, signal, sys
def end(*_):
    print("worker runs" if os.path.exists("/proc/" + sys.argv[1]) else "worker is gone", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
while True:
    signal.pause()
"""

# A worker with a helper in its own session and a daemon that has left it; says their pids.
FAMILY = """
import os, subprocess
helper = subprocess.Popen(["sleep", "300"])
daemon = subprocess.Popen(["sleep", "300"], start_new_session=True)
print("pids", helper.pid, daemon.pid, flush=True)
helper.wait()
"""

# A coordinator: starts a worker, then a broker, and waits for its end.
COORDINATOR = f"""
import os, signal, sys
from pathlib import Path
from coordinator.local.guardian import BROKER, WORKERS, Guardian
folder = Path(sys.argv[1])
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
guardian = Guardian.spawn()
worker = guardian.start([sys.executable, "-c", {FAMILY!r}], rank=WORKERS, stdout=folder / "worker.host.log")
broker = guardian.start(
    [sys.executable, "-c", {LAST_LOOK!r}, str(worker.pid)],
    rank=BROKER, end_signal=signal.SIGTERM, end_grace=10, stdout=folder / "broker.log",
)
forked = os.fork() if "fork" in sys.argv else None
while forked == 0:
    signal.pause()
print("pids", guardian.pid, worker.pid, broker.pid, forked or "", flush=True)
while command := sys.stdin.readline():
    if command == "end broker\\n":
        guardian.signal(broker, signal.SIGTERM)
        print("broker ended with", guardian.wait(broker, 10), flush=True)
"""


@pytest.fixture
def guardian() -> Iterator[Guardian]:
    guardian = Guardian.spawn()
    yield guardian
    guardian.close()


def runs(pid: int) -> bool:
    """Whether the process runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def none_runs(*pids: int) -> Callable[[], bool]:
    return lambda: not any(map(runs, pids))


def said(path: Path, text: str) -> Callable[[], bool]:
    return lambda: path.exists() and text in path.read_text()


def start_coordinator(folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COORDINATOR, str(folder), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read_line(process: subprocess.Popen[str], first_word: str) -> list[str]:
    assert process.stdout is not None
    first, *rest = process.stdout.readline().split()
    assert first == first_word
    return rest


def read_pids(process: subprocess.Popen[str]) -> list[int]:
    return [int(word) for word in read_line(process, "pids")]


def start_family(guardian: Guardian, log: Path, wait_until: WaitUntil) -> tuple[Child, int, int]:
    worker = guardian.start([sys.executable, "-c", FAMILY], rank=WORKERS, stdout=log)
    wait_until(said(log, "pids"))
    helper, daemon = (int(word) for word in log.read_text().split()[1:])
    return worker, helper, daemon


def test_kill_9_of_the_coordinator_ends_all_that_workers_started_and_then_the_broker(
    tmp_path: Path, wait_until: WaitUntil
) -> None:
    with start_coordinator(tmp_path) as coordinator:
        guardian, worker, broker = read_pids(coordinator)
        wait_until(said(tmp_path / "worker.host.log", "pids"))
        wait_until(said(tmp_path / "broker.log", "up"))
        helper, daemon = (int(word) for word in (tmp_path / "worker.host.log").read_text().split()[1:])
        assert all(map(runs, (guardian, worker, broker, helper, daemon)))
        coordinator.kill()
    wait_until(none_runs(guardian, worker, broker, helper, daemon))
    assert (tmp_path / "broker.log").read_text().splitlines() == ["up", "worker is gone"]


def test_a_process_that_the_coordinator_forked_does_not_keep_its_children_alive(
    tmp_path: Path, wait_until: WaitUntil
) -> None:
    with start_coordinator(tmp_path, "fork") as coordinator:
        *children, forked = read_pids(coordinator)
        try:
            coordinator.kill()
            wait_until(none_runs(*children))
            assert runs(forked), "it held the pipe all the while"
        finally:
            os.kill(forked, signal.SIGKILL)


def test_ctrl_c_reaches_the_coordinator_alone(tmp_path: Path, wait_until: WaitUntil) -> None:
    with start_coordinator(tmp_path) as coordinator:
        guardian, worker, _ = read_pids(coordinator)
        wait_until(said(tmp_path / "broker.log", "up"))
        os.killpg(coordinator.pid, signal.SIGINT)
        read_line(coordinator, "interrupted")
        assert coordinator.stdin is not None
        coordinator.stdin.write("end broker\n")
        coordinator.stdin.flush()
        assert read_line(coordinator, "broker") == ["ended", "with", "0"], "SIGINT would have ended it with -2"
        assert runs(guardian)
        assert runs(worker)
        coordinator.kill()
    wait_until(none_runs(guardian, worker))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_kill_9_of_the_guardian_ends_its_children_and_is_an_error(guardian: Guardian, wait_until: WaitUntil) -> None:
    worker = guardian.start(SLEEP, rank=WORKERS)
    broker = guardian.start(SLEEP, rank=BROKER, end_signal=signal.SIGTERM, end_grace=10)
    os.kill(guardian.pid, signal.SIGKILL)
    wait_until(none_runs(worker.pid, broker.pid))
    with pytest.raises(RunError, match=rf"guardian .*pid {guardian.pid}\) is gone.*rerun the command to resume"):
        guardian.wait(worker, 10)
    with pytest.raises(RunError, match="is gone"):
        guardian.start(SLEEP, rank=WORKERS)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_guardian_outlives_signals_that_are_meant_for_the_coordinator(
    guardian: Guardian, signum: signal.Signals
) -> None:
    worker = guardian.start(SLEEP, rank=WORKERS)  # it is up
    os.kill(guardian.pid, signum)
    guardian.signal(worker, signal.SIGTERM)
    assert guardian.wait(worker, 10) == -signal.SIGTERM


def test_children_do_not_inherit_an_ignored_interrupt() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as under nohup, or in a script's background
    try:
        guardian = Guardian.spawn()
        child = guardian.start(SLEEP, rank=WORKERS)
        guardian.signal(child, signal.SIGINT)
        assert guardian.wait(child, 10) == -signal.SIGINT
        guardian.close()
    finally:
        signal.signal(signal.SIGINT, before)


def test_closing_gives_a_child_its_grace_and_then_kills_it(tmp_path: Path, wait_until: WaitUntil) -> None:
    guardian = Guardian.spawn()
    stubborn = guardian.start(
        [sys.executable, "-c", STUBBORN],
        rank=BROKER,
        stdout=tmp_path / "log",
        end_signal=signal.SIGTERM,
        end_grace=0.5,
    )
    wait_until(said(tmp_path / "log", "up"))
    began = time.monotonic()
    guardian.close()
    assert 0.5 <= time.monotonic() - began < 5
    assert not runs(stubborn.pid)


def test_closing_twice_does_nothing_more(guardian: Guardian) -> None:
    child = guardian.start(SLEEP, rank=WORKERS)
    guardian.close()
    guardian.close()
    assert guardian.wait(child, 60) is None, "a closed guardian has nothing to wait for"


def test_when_a_worker_dies_what_is_left_of_its_session_dies_too(
    guardian: Guardian, tmp_path: Path, wait_until: WaitUntil
) -> None:
    worker, helper, _ = start_family(guardian, tmp_path / "log", wait_until)
    os.kill(worker.pid, signal.SIGKILL)
    assert guardian.wait(worker, 10) == -signal.SIGKILL
    wait_until(none_runs(helper))


def test_daemons_that_have_left_the_session_of_their_dead_worker_end_before_the_broker(
    tmp_path: Path, wait_until: WaitUntil
) -> None:
    guardian = Guardian.spawn()
    worker, helper, daemon = start_family(guardian, tmp_path / "log", wait_until)
    log = tmp_path / "broker.log"
    command = [sys.executable, "-c", LAST_LOOK, str(daemon)]
    guardian.start(command, rank=BROKER, end_signal=signal.SIGTERM, end_grace=10, stdout=log)
    wait_until(said(log, "up"))
    os.kill(worker.pid, signal.SIGKILL)
    guardian.wait(worker, 10)
    assert runs(daemon)
    guardian.close()
    assert log.read_text().splitlines() == ["up", "worker is gone"]
    assert not any(map(runs, (helper, daemon)))


def test_output_environment_and_folder_are_as_asked(guardian: Guardian, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    child = guardian.start(
        ["sh", "-c", 'echo "$COLOUR" in "$(pwd)"; echo error >&2; exit 7'],
        rank=WORKERS,
        env={"COLOUR": "grün", "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        stdout=log,
    )
    assert guardian.wait(child, 10) == 7
    assert log.read_text().splitlines() == ["before", f"grün in {tmp_path}", "error"]


def test_each_child_is_reported_with_its_own_code(guardian: Guardian) -> None:
    children = {guardian.start(["sh", "-c", f"exit {code}"], rank=WORKERS): code for code in range(20)}
    for child in children:
        guardian.wait(child, 10)
    assert guardian.exited() == children


def test_a_command_that_does_not_exist_is_an_error_with_its_name(guardian: Guardian) -> None:
    with pytest.raises(RunError, match=r"cannot start /nowhere/worker: .*No such file"):
        guardian.start(["/nowhere/worker"], rank=WORKERS)
    assert guardian.wait(guardian.start(["true"], rank=WORKERS), 10) == 0, "the guardian continues"


def test_a_folder_is_removed_at_the_end(guardian: Guardian, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "socket").touch()
    guardian.remove_at_end(folder)
    guardian.close()
    assert not folder.exists()
