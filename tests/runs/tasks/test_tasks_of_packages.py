"""Tasks of a user's own in runs: of an installed package, found by its entry points, on workers started elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses

PACKAGE = """
from penstock.errors import RowError
from penstock.steps.tasks import GeneratorTask, Task, task

class Ask(GeneratorTask):
    outputs = ["number", "instruction"]

    def seed_row(self, number):
        return {"number": number}

    def format_input(self, row):
        return f"Question {row['number']}"

    def format_output(self, text, row):
        return {"instruction": text}

class Rate(Task):
    inputs = ["instruction"]
    outputs = ["rating"]

    def format_input(self, row):
        return row["instruction"]

    def format_output(self, text, row):
        if "Question 1" in text:
            raise RowError("it has no rating")
        return {"rating": len(text)}

@task(outputs=["words"])
def Words(answer):
    '''Count {{ instruction }}'''
    return {"words": len(answer.split())}
"""
ENTRY_POINTS = "[penstock.steps]\nAsk = packed:Ask\nRate = packed:Rate\nWords = packed:Words\n"
SPEC = """
name: packed
enable_metadata: true
steps:
  ask: {type: Ask, num_rows: 3, batch_size: 2, llm: {type: EchoLLM}}
  words: {type: Words, after: ask, llm: {type: EchoLLM}, output_mappings: {model_name: model_name}}
  rate: {type: Rate, after: words, llm: {type: EchoLLM}, on_error: nulls, output_mappings: {model_name: model_name}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    (tmp_path / "packed.py").write_text(PACKAGE)
    info = tmp_path / "packed-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: packed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    yield from harnesses(tmp_path, fresh=True)


def test_tasks_of_a_package_run_on_workers_started_elsewhere(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(SPEC)
    run = harness.start_run(spec, "--broker", redis_url, "--workers", "external")
    worker = harness.start("pipeline-worker", "--all-steps", "--broker", redis_url, "--base-dir", ".")
    assert run.wait(60) == 3, run.text
    assert worker.wait(30) == 0, worker.text
    rows = harness.rows()
    assert [row["number"] for row in rows] == [0, 1, 2]
    assert [row["rating"] is None for row in rows] == [False, True, False]
    assert rows[0]["words"] > 3
    [letter] = harness.letters()
    assert "it has no rating; the answer: Echo" in letter.error
    assert rows[1]["distilabel_metadata"]["raw_output_rate"].startswith("Echo")
    assert "wasted      2 answers" in run.text
    assert "10 answers" in run.text, "three of each step, and one more for the row that fails"
