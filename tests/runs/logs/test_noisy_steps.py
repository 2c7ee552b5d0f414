"""A step that prints or logs 76 MB per batch: memory and log stay bounded, and the log says how much is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.big_rows import peak_memory
from tests.support.runs.harness import Harness, harnesses
from tests.support.servers.redis_server import RedisServer

NOISE = '''
import logging
import os
import resource
import sys

import psutil

from common.steps import Step, StepInput, StepOutput

LINE = "x" * 99 + "\\n"
BLOCK = LINE * 100
TIMES = 7_600


class Noise(Step):
    """Rows get the growth of the worker's memory, and the peak of its keeper's, in MB."""

    @property
    def outputs(self):
        return ["worker", "keeper"]

    def process(self, inputs: StepInput) -> StepOutput:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        getattr(self, inputs[0]["how"])()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        (keeper,) = (one for one in psutil.Process().children() if one.name() == "penstock-keeper")
        yield [{**row, "worker": grown / 1000, "keeper": keeper.memory_info().rss / 1e6} for row in inputs]

    def prints(self):
        for _ in range(TIMES):
            print(BLOCK, end="")

    def logs(self):
        for _ in range(TIMES * 10):
            logging.getLogger("penstock.step.noise").info("%s", LINE * 10)

    def writes(self):
        for _ in range(TIMES):
            os.write(2, BLOCK.encode())

    def prints_one_line(self):
        for _ in range(TIMES):
            sys.stderr.write("y" * len(BLOCK))
        print(file=sys.stderr)

    def writes_one_line(self):
        for _ in range(TIMES):
            os.write(1, b"z" * len(BLOCK))
        os.write(1, b"\\n")
'''
HOW = ("prints", "logs", "writes", "prints_one_line", "writes_one_line")
LINES = 760_000


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def dropped(log: str, what: str) -> int:
    return sum(int(found.replace(",", "")) for found in re.findall(rf" ([\d,]+) {what} were dropped", log))


def test_a_step_that_says_76_mb_a_batch_is_bounded_in_memory_and_log(harness: Harness) -> None:
    (harness.folder / "noise.py").write_text(NOISE)
    rows = ", ".join(f"{{how: {how}}}" for how in HOW)
    spec = harness.write_spec(
        f"""
name: noisy
steps:
  load: {{type: LoadDataFromDicts, data: [{rows}], batch_size: 1}}
  noise: {{type: "noise:Noise", after: load, input_batch_size: 1, retries: 0}}
"""
    )
    with RedisServer() as broker:
        code, text = harness.run(spec, "--broker", broker.url)
        assert code == 0, text
        peak = peak_memory(broker)
    grown = {row["how"]: (row["worker"], row["keeper"]) for row in harness.rows()}
    print(grown, peak / 1e6, len(harness.log) / 1e6)
    assert max(worker for worker, _ in grown.values()) < 20, grown
    assert max(keeper for _, keeper in grown.values()) < 80, grown
    assert peak < 20e6
    log = harness.log
    assert len(log) < 10e6
    kept = log.count("x" * 99)
    assert kept > 1_000
    counted = dropped(log, "printed lines") + dropped(log, "log records of step 'noise'") * 10 + kept
    assert 0 <= 3 * LINES - counted <= 10 * dropped(log, "log lines"), "the rest was pushed out where it waited"
    for letter in "yz":
        assert f"{letter * 19_900} [cut: 76,000,000 bytes]" in log
