"""`--output`, with other runs that write there too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.harness import Command, Harness, harnesses

SPEC = """
name: {name}
steps:
  load: {{type: "mysteps:Count", rows: {rows}, batch_size: 50}}
"""
ROWS = {"first": 200, "second": 300}


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def test_of_two_pipelines_that_end_with_one_output_the_later_one_is_refused_and_can_overwrite(harness: Harness) -> None:
    output = harness.folder / "out"
    specs = {name: harness.write_spec(SPEC.format(name=name, rows=ROWS[name]), f"{name}.yaml") for name in ROWS}
    runs: dict[str, Command] = {name: harness.start_run(spec, "--output", output) for name, spec in specs.items()}
    codes = {name: run.wait(90) for name, run in runs.items()}
    assert sorted(codes.values()) in ([0, 1], [0, 2]), [run.text for run in runs.values()]
    won, lost = sorted(codes, key=lambda name: codes[name])
    assert len(harness.rows("load", output)) == ROWS[won]
    refusal = f"--output {output} holds the dataset of another pipeline, '{won}'"
    assert refusal in " ".join(runs[lost].text.split())
    code, said = harness.run(specs[lost], "--output", output, "--overwrite")
    assert code == 0, said
    assert len(harness.rows("load", output)) == ROWS[lost]
    code, said = harness.run(specs[won], "--output", output)
    assert code == 2, said
    assert f"holds the dataset of another pipeline, '{lost}'" in " ".join(said.split())
    assert [path.name for path in harness.folder.glob(".out*")] == []
