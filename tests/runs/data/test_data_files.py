"""Data files of runs: what changes while it is read halts the run; the same data is the same run, whatever its time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.runs.harness import Harness, harnesses

ROWS = 5_000
SPEC = """
name: files
steps:
  load: {{type: LoadDataFromFile, path: in.jsonl, batch_size: 10}}
  double: {{type: "mysteps:Gated", after: load, input_batch_size: 10, gate: {gate}, at: 100}}
"""
LARGE = """
name: large
steps:
  load: {{type: LoadDataFromFile, path: in.jsonl, columns: [n]}}
  double: {{type: "mysteps:Double", after: load, notes: {notes}}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def write(path: Path, word: str, rows: int = ROWS) -> None:
    path.write_text("".join(json.dumps({"n": n, "word": word}) + "\n" for n in range(rows)))


def test_a_file_that_is_written_anew_while_it_is_read_halts_the_run_and_none_of_it_is_a_row(
    harness: Harness, wait_until: Callable[..., None]
) -> None:
    gate, data = harness.folder / "gate", harness.folder / "in.jsonl"
    gate.touch()
    write(data, "old")
    spec = harness.write_spec(SPEC.format(gate=gate))
    command = harness.start_run(spec)
    wait_until(gate.with_suffix(".waiting").exists, timeout=60)
    write(data, "new")
    gate.unlink()
    assert command.wait() == 1, command.text
    assert "step 'load'" in command.text
    assert f"the file {data} has changed since the run began" in " ".join(command.text.split())
    halted = harness.run_directory
    assert harness.record().status == "halted"
    done = [row for part in (halted / "partial").rglob("*.parquet") for row in pq.read_table(part).to_pylist()]
    assert {row["word"] for row in done} == {"old"}
    assert len(done) < ROWS

    code, text = harness.run(spec, "--output", harness.folder / "out")
    assert code == 0, text
    rows = harness.rows(dataset=harness.folder / "out")
    assert [row["n"] for row in rows] == list(range(ROWS))
    assert {row["word"] for row in rows} == {"new"}


def test_a_large_file_that_is_touched_is_paid_for_once_and_one_that_is_edited_again(harness: Harness) -> None:
    data, calls = harness.folder / "in.jsonl", harness.folder / "calls"
    with data.open("w") as file:
        for n in range(40):  # more than is read before the first row
            file.write(json.dumps({"n": n, "long": "x" * 1_000_000}) + "\n")
    spec = harness.write_spec(LARGE.format(notes=calls))
    assert harness.run(spec)[0] == 0
    first = harness.run_directory
    os.utime(data, (1_000, 1_000))
    code, text = harness.run(spec)
    assert code == 0, text
    assert f"{data}: it was written at 1970-01-01" in " ".join(text.split())
    assert harness.run_directory == first, "it is the same run"
    assert len(calls.read_text().splitlines()) == 40

    with data.open("r+b") as file:
        file.seek(20_000_000)
        file.write(b"y")
    code, text = harness.run(spec)
    assert code == 0, text
    assert "it is treated as a different file from that of run" in " ".join(text.split())
    assert len(calls.read_text().splitlines()) == 80
