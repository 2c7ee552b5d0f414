"""A process that is forked from a worker: what it shares with the worker, and what not."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from worker.life.forked import DEAF_TO, ForkedProcess, name_process


def read(process: ForkedProcess) -> str:
    with process.stdin, process.stdout:
        said = process.stdout.read().decode()
    assert process.wait() == 0, said
    return said


def test_it_hears_what_it_is_told_and_its_end() -> None:
    process = ForkedProcess.fork(lambda: print(sys.stdin.read().upper()))
    process.stdin.write(b"say this")
    process.stdin.close()
    assert process.stdout.read() == b"SAY THIS\n"
    assert process.wait() == 0


def test_it_has_no_descriptor_that_it_is_not_given(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    given = os.open(tmp_path / "given", os.O_CREAT | os.O_RDWR)

    def look() -> None:
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and os.path.exists(f"/proc/self/fd/{name}"):
                print(os.readlink(f"/proc/self/fd/{name}"))

    found = set(read(ForkedProcess.fork(look, keeps=[given])).split())
    os.close(given)
    ours.close()
    theirs.close()
    assert {one for one in found if not one.startswith("/proc/")} == {os.devnull, str(tmp_path / "given")}


def test_it_is_in_a_session_of_its_own_and_does_not_hear_stop_signals() -> None:
    def show() -> None:
        name_process("of-the-test")
        print(os.getsid(0), [signal.getsignal(one) == signal.SIG_IGN for one in DEAF_TO], flush=True)
        sys.stdin.read()

    process = ForkedProcess.fork(show)
    shown = process.stdout.read(100).decode()
    assert shown == f"{process.pid} [True, True, True]\n"
    assert psutil.Process(process.pid).name() == "of-the-test"
    assert process.poll() is None
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert process.poll() == -signal.SIGKILL
    process.stdin.close()
    process.stdout.close()


def test_what_it_raises_is_said_on_the_descriptor_that_it_is_given(tmp_path: Path) -> None:
    with (tmp_path / "said").open("wb") as file:

        def fail() -> None:
            raise ValueError("in the child")

        process = ForkedProcess.fork(fail, file.fileno())
    assert process.wait() == 1
    assert "ValueError: in the child" in (tmp_path / "said").read_text()
    process.stdin.close()
    process.stdout.close()


def test_what_the_parent_has_not_written_yet_is_not_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "said").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        print("once")
        assert read(ForkedProcess.fork(lambda: print("of the child"))) == "of the child\n"
    assert (tmp_path / "said").read_text() == "once\n"
