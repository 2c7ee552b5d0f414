"""Rows of 60 MB: how much memory the processes of a run need for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses

SIZE = 60_000_000
STEPS = f"""
import resource
from pathlib import Path

from common.steps import GeneratorStep, GeneratorStepOutput, Step, StepInput, StepOutput


class Large(GeneratorStep):
    @property
    def outputs(self):
        return ["n", "text"]

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        for n in range(offset, 2):
            yield [{{"n": n, "text": "x" * {SIZE}}}], n == 1


class Choosy(Step):
    def process(self, inputs: StepInput) -> StepOutput:
        if inputs[0]["n"] == 1:
            raise RuntimeError("not this one")
        yield inputs

    def unload(self):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        Path(__file__).with_name("peak").write_text(str(peak))
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path, fresh=True)


def test_rows_of_60_mb_take_some_copies_of_one_of_them_at_a_time(harness: Harness) -> None:
    (harness.folder / "large.py").write_text(STEPS)
    spec = harness.write_spec(
        """
name: large
steps:
  gen: {type: "large:Large", batch_size: 1}
  choosy: {type: "large:Choosy", after: gen, input_batch_size: 1, retries: 0}
"""
    )
    command = harness.start_run(spec)
    _, status, usage = os.wait4(command.process.pid, 0)
    command.process.returncode = os.waitstatus_to_exitcode(status)
    assert command.process.returncode == 3, command.text
    assert usage.ru_maxrss * 1024 < 12.5 * SIZE, "coordinator"
    assert int((harness.folder / "peak").read_text()) * 1024 < 12.5 * SIZE, "worker"
    import pyarrow.parquet as pq

    files = sorted((harness.run_directory / "dataset" / "choosy").glob("*.parquet"))
    assert [pq.read_metadata(file).num_rows for file in files] == [1]
    (letter,) = harness.letters()
    assert letter.row is not None
    assert len(letter.row["text"]) == SIZE
