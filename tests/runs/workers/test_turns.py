"""Workers of a stage wait for those of other ones on their host, whose processes may outlive their membership."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from common.broker.runs import RunRecord
from common.protocol.run_options import RunOptions
from tests.support.runs.broker import Run
from worker.life.turns import Turns

HERE = socket.gethostname()


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Lives until its standard input is closed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as one:
        yield one


def record(run: Run) -> RunRecord:
    options = RunOptions(stages=(("g", "a"), ("b",)))
    steps: dict[str, dict[str, str]] = {key: {} for key in "gab"}
    return RunRecord(run.run_id, "p", "s", "running", "", {"steps": steps}, options, 0, "")


@pytest.mark.parametrize(("host", "waits"), [(HERE, True), ("elsewhere", False)])
def test_a_step_waits_for_the_process_of_a_worker_of_the_stage_before_that_has_left(
    run: Run, process: subprocess.Popen[bytes], host: str, waits: bool
) -> None:
    before = run.worker("w1")
    before.membership.join({"step": "a", "host": host, "pid": process.pid, "loaded": True})
    run.connection.command("HSET", run.keys.run, "stage", 1)
    before.membership.leave()
    paused: list[float] = []

    def pause(seconds: float) -> bool:
        paused.append(seconds)
        process.kill()
        process.wait()
        return False

    assert Turns(run.connection, record(run)).wait("b", pause)
    assert bool(paused) == waits
