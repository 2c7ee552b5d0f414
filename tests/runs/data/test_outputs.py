"""`--output`, while other runs write to the same folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Command, Harness, harnesses

SPEC = """
name: {name}
steps:
  load: {{type: "mysteps:Count", rows: {rows}, batch_size: 50}}
"""
PROGRAM = """
import sys
from common.steps import LoadDataFromDicts
from coordinator import Pipeline

if __name__ == "__main__":
    with Pipeline("one") as pipeline:
        LoadDataFromDicts(name="load", data=[{"of": sys.argv[1]}] * 50)
    distiset = pipeline.run(output="out", progress=False)
    print("ROWS OF", *distiset["default"]["train"]["of"])
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


def test_programs_that_run_at_once_with_one_output_have_their_own_rows_and_the_folder_those_of_one(
    harness: Harness,
) -> None:
    programs = {name: harness.start_script(PROGRAM, name) for name in ("ant", "bee")}
    for name, program in programs.items():
        assert program.wait(120) == 0, program.text
        assert f"ROWS OF {' '.join([name] * 50)}\n" in program.text
    (name,) = {row["of"] for row in harness.rows("load", harness.folder / "out")}
    assert harness.rows("load", harness.folder / "out") == [{"of": name}] * 50
    assert list(harness.folder.glob(".out*")) == []


def test_a_run_says_which_step_let_no_row_through(harness: Harness) -> None:
    spec = harness.write_spec(
        "name: strict\nsteps:\n"
        "  load: {type: LoadDataFromDicts, data: [{n: 1}, {n: 2}]}\n"
        "  some: {type: FilterRows, after: load, condition: n > 1}\n"
        "  none: {type: FilterRows, after: load, condition: n > 2}\n"
        "  keep: {type: KeepColumns, after: none, columns: [n]}\n"
    )
    code, text = harness.run(spec)
    assert code == 0, text
    assert "'keep' has no rows: step 'none' let none of its 2 rows through" in text
    assert text.count("has no rows") == 1
