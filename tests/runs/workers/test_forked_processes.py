"""A step that forks: its children end when told to, and share nothing with the worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses
from tests.support.runs.hosts import coordinator, worker

FORKS = '''
import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from common.steps import AsyncStep, Step, StepInput, StepOutput


def count(text):
    return len(text.split())


class Forks(Step):
    @property
    def outputs(self):
        return ["words", "codes", "shared", "handlers"]

    def process(self, inputs: StepInput) -> StepOutput:
        texts = [row["text"] for row in inputs]
        shared, handlers = self._seen
        with multiprocessing.Pool(2) as pool:
            words = pool.map(count, texts)
        with ProcessPoolExecutor(2) as executor:
            assert list(executor.map(count, texts)) == words
        child = multiprocessing.Process(target=time.sleep, args=(1000,))
        child.start()
        child.terminate()
        child.join()
        subprocess.run(["true"], check=True)
        if texts == ["d"]:
            assert list(self.count_elsewhere(texts)) == [words] * 2
        codes = [child.exitcode, *map(self.exit_code, ("exits", "raises"))]
        yield [{**row, "words": w, "codes": codes, "shared": shared, "handlers": handlers}
               for row, w in zip(inputs, words)]

    def load(self):
        super().load()
        self._seen = self.seen_by_a_child()

    def count_elsewhere(self, texts):
        for method in ("forkserver", "spawn"):
            with multiprocessing.get_context(method).Pool(1) as pool:
                yield pool.map(count, texts)

    def exit_code(self, how):
        """Of a child that leaves the step's code by an exception."""
        pid = os.fork()
        if pid == 0:
            print("said by a child")
            if how == "exits":
                sys.exit(7)
            raise ValueError("in a child")
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def seen_by_a_child(self):
        return seen_by_a_child()


class ForksAsync(AsyncStep):
    @property
    def outputs(self):
        return ["of_a_row"]

    async def process_row(self, row):
        await asyncio.sleep(0.01)
        return {**row, "of_a_row": seen_by_a_child()[0]}


def seen_by_a_child():
    """The sockets, pipes and the like that it has, and its handlers of signals."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        names = os.listdir("/proc/self/fd")
        links = [os.readlink(f"/proc/self/fd/{name}") for name in names if int(name) not in (0, 1, 2, reads, writes)
                 and os.path.exists(f"/proc/self/fd/{name}")]
        found = [link for link in links if link.startswith(("socket:", "pipe:", "anon_inode:"))]
        handlers = [signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
                    signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.set_wakeup_fd(-1) == -1]
        os.write(writes, repr((found, handlers)).encode())
        os._exit(0)
    os.close(writes)
    said = b""
    while part := os.read(reads, 4096):
        said += part
    os.close(reads)
    os.waitpid(pid, 0)
    return eval(said)
'''
SPEC = """
name: forks
steps:
  load: {type: LoadDataFromDicts, data: [{text: a b c}, {text: d}, {text: e f}], batch_size: 1}
  count: {type: "forking:Forks", after: load, input_batch_size: 1, retries: 0}
  rows: {type: "forking:ForksAsync", after: count, retries: 0}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def write(harness: Harness) -> Path:
    (harness.folder / "forking.py").write_text(FORKS)
    return harness.write_spec(SPEC)


def check(harness: Harness) -> None:
    rows = harness.rows("rows")
    assert [row["words"] for row in rows] == [3, 1, 2]
    for row in rows:
        assert row["codes"] == [-15, 7, 1]
        assert row["shared"] == [], "sockets or pipes of the worker"
        assert row["of_a_row"] == [], "the event loop of the worker"
        assert row["handlers"] == [True, True, True]


def test_children_of_a_step_end_when_they_are_told_to_and_have_nothing_of_its_worker(harness: Harness) -> None:
    code, text = harness.run(write(harness))
    assert code == 0, text
    check(harness)
    said = [line for line in harness.log.splitlines() if "said by a child" in line]
    assert len(said) == 6
    assert all(" INFO step=count worker=" in line for line in said)


def test_children_of_an_external_worker_have_nothing_of_it_either(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, write(harness), redis_url, "--allow", "forking")
    workers = [worker(harness, redis_url, step, "--allow", "forking") for step in ("load", "count", "rows")]
    assert [command.wait(40) for command in (run, *workers)] == [0] * 4, run.text + workers[1].text
    check(harness)
    assert "said by a child" in workers[1].text
