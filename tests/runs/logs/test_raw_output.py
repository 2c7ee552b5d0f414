"""What C libraries and child processes of a step write to its descriptors is in the run's log, to the last line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.hosts import coordinator, worker

WRITES = '''
import ctypes
import faulthandler
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from common.steps import Step, StepInput, StepOutput

BESIDE = Path(__file__).parent
DAEMON = """
import os, sys, time, pathlib
parent, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
while os.getppid() == parent:
    time.sleep(0.02)
print(flush=True)
for _ in range(30):
    print("x" * 5000, flush=True)
print("the last of a child", end="", flush=True)
folder.joinpath("survived").touch()
time.sleep(1000)
"""


def write_in_c(descriptor, data):
    """As a C library does that keeps the interpreter lock: no thread of this process runs meanwhile."""
    libc = ctypes.PyDLL(None)
    while data:
        data = data[libc.write(descriptor, data, len(data)):]


class Writes(Step):
    @property
    def outputs(self):
        return ["stdin"]

    def process(self, inputs: StepInput) -> StepOutput:
        write_in_c(1, b"".join(b"%d %s\\n" % (n, b"c" * 18_000) for n in range(8)))
        subprocess.run(["sh", "-c", "echo a child; echo complains >&2"], check=True)
        subprocess.run(["echo", "to a stream"], stdout=sys.stdout, check=True)
        os.write(1, b"written\\n")
        faulthandler.enable()
        faulthandler.dump_traceback(file=sys.stderr, all_threads=False)
        if (pid := os.fork()) == 0:
            print("forked", "and printed")
            logging.getLogger("of.a.library").warning("forked and logged")
            os._exit(0)
        os.waitpid(pid, 0)
        os.write(1, b"no end")
        print("printed without an end", end="")
        sys.stdin.reconfigure(errors="replace")
        stdin = [sys.stdin.read(), sys.stdin.fileno(), sys.stdin.encoding, os.read(0, 10).decode()]
        yield [{**row, "stdin": repr(stdin)} for row in inputs]


class Dies(Step):
    """Is killed with its first batch, and leaves a child behind that has its output."""

    def process(self, inputs: StepInput) -> StepOutput:
        command = [sys.executable, "-c", DAEMON, str(os.getpid()), str(BESIDE)]
        if not BESIDE.joinpath("died").exists():
            subprocess.Popen(command, start_new_session=True)
            BESIDE.joinpath("died").touch()
            os.write(1, b"last words\\nand no end")
            os.kill(os.getpid(), signal.SIGKILL)
        while not BESIDE.joinpath("survived").exists():
            time.sleep(0.02)
        yield inputs


class Leaves(Step):
    """Leaves a child behind when it is unloaded."""

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs

    def unload(self):
        subprocess.Popen([sys.executable, "-c", DAEMON, str(os.getpid()), str(BESIDE)], start_new_session=True)
        os.write(1, b"unloaded\\n")
'''


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def write(harness: Harness, step: str) -> Path:
    (harness.folder / "writing.py").write_text(WRITES)
    return harness.write_spec(
        f"""
name: writing
steps:
  load: {{type: LoadDataFromDicts, data: [{{text: a}}]}}
  say: {{type: "writing:{step}", after: load, retries: 0}}
"""
    )


def check_log(harness: Harness) -> None:
    said = [line.partition(" ")[2] for line in harness.log.splitlines() if " step=say worker=" in line]
    (worker_id,) = {line.partition("worker=")[2][:8] for line in said}
    texts = [line.replace(f" step=say worker={worker_id}", "") for line in said]
    expected = [f"INFO {n} {'c' * 18_000}" for n in range(8)]
    expected += ["INFO a child", "INFO to a stream", "INFO written", "INFO forked and printed", "INFO no end"]
    assert [text for text in texts if text in expected] == expected
    assert "WARNING complains" in texts
    assert "INFO printed without an end" in texts
    assert any(text.startswith("WARNING WARNING pid=") and text.endswith("forked and logged") for text in texts)
    assert any("writing.py" in text and "in process" in text for text in texts), "what faulthandler writes"
    (row,) = harness.rows()
    assert row["stdin"] == repr(["", 0, "utf-8", ""])


def test_what_is_written_to_descriptors_of_a_local_step_is_in_the_log_line_by_line(harness: Harness) -> None:
    code, text = harness.run(write(harness, "Writes"))
    assert code == 0, text
    check_log(harness)
    assert harness.left_over() == []


def test_what_is_written_to_descriptors_of_an_external_step_is_on_its_terminal_too(
    harness: Harness, redis_url: str
) -> None:
    run = coordinator(harness, write(harness, "Writes"), redis_url, "--allow", "writing")
    workers = [worker(harness, redis_url, step, "--allow", "writing") for step in ("load", "say")]
    assert [command.wait(40) for command in (run, *workers)] == [0, 0, 0], run.text + workers[1].text
    check_log(harness)
    for text in ("INFO a child", "WARNING complains", "INFO written", "INFO forked and printed", "INFO no end"):
        assert text in workers[1].text
    assert harness.left_over() == []


def test_the_last_words_of_a_killed_worker_are_in_the_log_and_its_children_write_on(harness: Harness) -> None:
    code, text = harness.run(write(harness, "Dies"))
    assert code == 0, text
    assert (harness.folder / "survived").exists()
    for words in ("last words", "and no end"):
        (line,) = [line for line in harness.log.splitlines() if line.endswith(words)]
        assert " INFO step=say worker=" in line
    assert harness.left_over() == []


def test_a_child_that_outlives_its_worker_holds_up_nothing(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, write(harness, "Leaves"), redis_url, "--allow", "writing")
    workers = [worker(harness, redis_url, step, "--allow", "writing") for step in ("load", "say")]
    assert [command.wait(40) for command in (run, *workers)] == [0, 0, 0], run.text + workers[1].text
    assert "unloaded" in harness.log
    wait_for((harness.folder / "survived").exists, what="a child that could write")
    (child,) = [one for one in harness.processes() if "-c" in one.cmdline()]
    child.kill()
    wait_for(lambda: "the last of a child" in workers[1].text, what="its last line, which has no end")
    assert harness.left_over() == [], "who read what it wrote ends with it"
