"""A run of steps that are made of functions, its runtime parameters given with `--set`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.places import STEPS_FOLDER
from tests.support.runs.harness import Harness, harnesses

SPEC = """
name: functions
steps:
  count: {type: "sample_functions:Numbers", rows: 7, batch_size: 3}
  scale: {type: "sample_functions:Scale", after: count, input_batch_size: 2}
  half:  {type: "sample_functions:Halve", after: count}
  both:  {type: CombineOutputs, after: [scale, half]}
  total: {type: "sample_functions:Total", after: both}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    shutil.copy(STEPS_FOLDER / "sample_functions.py", tmp_path)
    yield from harnesses(tmp_path)


def test_functions_run_as_steps_with_the_parameters_of_the_command_line(harness: Harness) -> None:
    spec = harness.write_spec(SPEC)
    code, said = harness.run(spec)
    assert code == 2
    assert "step 'scale' is missing its runtime parameter 'factor'" in said
    code, said = harness.run(spec, "--set", "scale.factor=3", "--set", "total.scale=2")
    assert code == 0, said
    assert harness.rows("total") == [{"total": 2 * sum(range(7))}]
