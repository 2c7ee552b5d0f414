"""Which processes of a container `common.health` takes for Penstock's, and which broker it asks about them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from common.health import Process, faults, processes
from tests.support.places import REPOSITORY

PYTHON = "/opt/penstock/bin/python"


def write(proc: Path, pid: int, *words: str, state: str = "S", **variables: str) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "cmdline").write_text("".join(f"{word}\0" for word in words))
    (folder / "stat").write_text(f"{pid} (a name) of mine) {state} 1 1")
    (folder / "environ").write_text("".join(f"{name}={value}\0" for name, value in variables.items()))


@pytest.mark.parametrize(
    "words",
    [
        (PYTHON, "/opt/penstock/bin/pipeline-worker", "--step", "a"),
        (PYTHON, "/opt/penstock/bin/pipeline-coordinator", "run", "spec.yaml"),
        ("python3.13", "-P", "-m", "worker.cli", "--all-steps"),
        ("/usr/bin/python3", "-m", "coordinator.cli", "run"),
    ],
)
def test_commands_of_ours_are_found(tmp_path: Path, words: tuple[str, ...]) -> None:
    write(tmp_path, 7, *words, PENSTOCK_BROKER_URL="redis://broker/0")
    assert list(processes(tmp_path)) == [Process(7, "S", "redis://broker/0")]


@pytest.mark.parametrize(
    "words",
    [
        ("tini", "--", "pipeline-worker", "--step", "a"),
        (PYTHON, "-P", "-m", "worker.life.lease"),
        (PYTHON, "mine.py", "pipeline-worker"),
        ("redis-server", "*:6379"),
        (),
    ],
)
def test_others_are_left_out(tmp_path: Path, words: tuple[str, ...]) -> None:
    write(tmp_path, 7, *words)
    assert list(processes(tmp_path)) == []


@pytest.mark.parametrize("option", [("--broker", "redis://named/0"), ("--broker=redis://named/0",)])
def test_the_option_counts_more_than_the_variable(tmp_path: Path, option: tuple[str, ...]) -> None:
    write(tmp_path, 7, PYTHON, "/bin/pipeline-worker", *option, PENSTOCK_BROKER_URL="redis://broker/0")
    assert [process.broker for process in processes(tmp_path)] == ["redis://named/0"]


def test_without_a_process_nothing_is_well() -> None:
    assert list(faults([])) == ["neither pipeline-coordinator nor pipeline-worker is running here"]


def test_a_coordinator_with_a_broker_of_its_own_is_well_as_long_as_it_runs() -> None:
    assert list(faults([Process(7, "S", "")])) == []
    assert list(faults([Process(7, "T", "")])) == ["process 7 is stopped (state T)"]


@pytest.mark.parametrize(("option", "exit_code"), [("--help", 0), ("--nothing", 2)])
def test_the_command_says_how_it_is_used(option: str, exit_code: int) -> None:
    command = [sys.executable, "-m", "common.health", option]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert ended.returncode == exit_code
    assert (ended.stdout or ended.stderr).startswith("usage: python -m common.health [-h]\n")
