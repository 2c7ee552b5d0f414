"""The processes of workers, as signals find them."""

from __future__ import annotations

import signal
import subprocess

from common.broker.runs import RunRecord
from common.protocol.run_options import RunOptions
from common.settings import Settings
from worker.life.assembly import Place
from worker.life.processes import WorkerProcesses

NOBODY = 2**22 + 1
"""Above the highest process id of any system: as that of a process that has just been reaped."""
SPEC = {
    "name": "demo",
    "steps": {"load": {"type": "LoadDataFromDicts", "data": []}, "keep": {"type": "KeepColumns", "after": "load"}},
}


def test_a_process_that_has_just_ended_keeps_no_other_one_from_being_told_to_stop() -> None:
    record = RunRecord("demo-1", "demo", "1", "running", "", SPEC, RunOptions(), 0, "1:t")
    processes = WorkerProcesses("redis://127.0.0.1:1", record, Settings(), Place((), None, echo=True))
    ended, there = processes.children
    with subprocess.Popen(["sleep", "60"]) as process:
        ended.pid, there.pid = NOBODY, process.pid
        try:
            processes.stop()
            assert process.wait(30) == -signal.SIGTERM
        finally:
            process.kill()
