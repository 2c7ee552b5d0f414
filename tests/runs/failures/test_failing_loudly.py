"""Failures that distilabel ignores silently, as far as other files do not test them: exit code, message, dataset."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import STEPS, Harness, harnesses
from tests.support.runs.sight import Sight

SIDE = """
name: side
steps:
  gen: {{type: "mysteps:Count", rows: 200, batch_size: 50}}
  total: {{type: "failing_steps:Everything", after: gen, cause: "{cause}", retries: 0}}
  double: {{type: "mysteps:Double", after: gen}}
  keep: {{type: KeepColumns, after: double, columns: [n, double]}}
"""
TASK = """
name: task
steps:
  load: {{type: "mysteps:Count", rows: 60, batch_size: 50}}
  ask: {{type: "tasks:Ask", after: load, concurrency: 50, retries: 0{more}}}
"""
ASK = """
import asyncio
from common.errors import RowError
from common.steps import AsyncStep

class Ask(AsyncStep):
    @property
    def outputs(self):
        return ["answer", "raw"]

    async def process_row(self, row):
        await asyncio.sleep(0.01)
        if row["n"] == 7:
            raise ConnectionError("the endpoint hung up")
        if row["n"] == 8:
            raise RowError("the answer is no list", {"raw": "not a list"})
        return {**row, "answer": str(row["n"]), "raw": "raw"}
"""
SLOW = """
name: rerun
steps:
  load: {{type: "mysteps:Count", rows: {rows}, batch_size: 50}}
  double: {{type: "mysteps:Double", after: load, input_batch_size: 50, seconds: {seconds}}}
  told: {{type: "batch_steps:Told", after: double, input_batch_size: {size}}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def test_a_global_leaf_beside_the_others_that_raises_costs_its_own_rows_and_is_said(harness: Harness) -> None:
    cause = harness.folder / "cause"
    cause.touch()
    code, text = harness.run(harness.write_spec(SIDE.format(cause=cause)))
    assert code == 3, text
    assert harness.rows("keep") == [{"n": n, "double": 2 * n} for n in range(200)]
    assert harness.rows("total") == []
    assert harness.record().failed == {"total": 200}
    (letter,) = harness.letters()
    assert letter.step == "total"
    assert letter.error.startswith("all 200 rows at once: ValueError: no row 200 today")
    assert harness.run(harness.folder / "spec.yaml")[0] == 3, "nor does it become a success later"


@pytest.mark.parametrize("on_error", ["skip", "nulls"])
def test_one_call_of_fifty_that_fails_costs_one_row_and_what_there_is_of_an_answer_is_kept(
    harness: Harness, on_error: str
) -> None:
    (harness.folder / "tasks.py").write_text(ASK)
    code, text = harness.run(harness.write_spec(TASK.format(more=f", on_error: {on_error}")))
    assert code == 3, text
    rows = {row["n"]: (row["answer"], row["raw"]) for row in harness.rows()}
    right = {n: (str(n), "raw") for n in range(60) if n not in (7, 8)}
    assert rows == (right if on_error == "skip" else {**right, 7: (None, None), 8: (None, "not a list")})
    assert [letter.position for letter in harness.letters()] == [7, 8]
    assert ["the endpoint hung up" in harness.letters()[0].error, "no list" in harness.letters()[1].error] == [True] * 2


def interrupted(harness: Harness, rows: int = 1_000) -> Path:
    """A spec whose run was stopped in the middle of its rows."""
    (harness.folder / "batch_steps.py").write_text(STEPS.with_name("batch_steps.py").read_text())
    spec = harness.write_spec(SLOW.format(rows=rows, seconds=0.2, size=50))
    run = harness.start_run(spec)
    Sight(harness).wait_for_results("told", 3)
    run.kill(signal.SIGINT)
    assert run.wait(60) == 130, run.text
    assert not (harness.run_directory / "dataset").exists()
    return spec


def complete_rows(harness: Harness) -> list[dict[str, object]]:
    (dataset,) = harness.folder.glob("cache/*/*/dataset")
    return harness.rows("told", dataset)


def test_a_changed_leaf_after_an_interruption_gets_every_row_not_those_that_were_done(harness: Harness) -> None:
    spec = interrupted(harness)
    spec.write_text(SLOW.format(rows=1_000, seconds=0.0, size=10))
    code, text = harness.run(spec)
    assert code == 0, text
    rows = complete_rows(harness)
    assert [row["n"] for row in rows] == list(range(1_000))
    assert {row["size"] for row in rows} == {10}


def test_starting_over_takes_the_spec_as_it_is_now(harness: Harness) -> None:
    spec = interrupted(harness)
    spec.write_text(SLOW.format(rows=1_000, seconds=0.0, size=20))
    code, text = harness.run(spec, "--fresh")
    assert code == 0, text
    assert {row["size"] for row in complete_rows(harness)} == {20}


def test_other_input_data_are_another_run(harness: Harness) -> None:
    text = """
name: data
steps:
  load: {type: LoadDataFromFile, path: data.jsonl}
  keep: {type: KeepColumns, after: load, columns: [n]}
"""
    spec = harness.write_spec(text)
    for first in (0, 100):
        (harness.folder / "data.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(first, first + 4)))
        output = harness.folder / f"out-{first}"
        code, said = harness.run(spec, "--output", output)
        assert code == 0, said
        assert [row["n"] for row in harness.rows("keep", output)] == list(range(first, first + 4))
