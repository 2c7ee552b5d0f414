"""The steps on columns in a real run that is killed and resumed: the rows of an uninterrupted run, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses
from tests.support.runs.pipelines import Pipeline
from tests.support.runs.sight import Sight

OWN = '''
import time

from common.steps import Row, Step, StepInput, StepOutput


class Judge(Step):
    """Writes an answer about each row, slowly."""

    @property
    def inputs(self) -> list[str]:
        return ["topic", "score"]

    @property
    def outputs(self) -> list[str]:
        return ["answer"]

    def process(self, inputs: StepInput) -> StepOutput:
        time.sleep(0.05)
        yield [{**row, "answer": f"Reason: it is about {row['topic']}\\nScore: {row['score']}/10"} for row in inputs]


def is_even(row: Row) -> bool:
    return row["n"] % 2 == 0
'''
SPEC = """
name: columns
steps:
  rows:
    type: SampleRows
    num_rows: 300
    batch_size: 20
    seed: 3
    columns:
      topic: {draw: category, values: [tides, bread, rust], weights: [3, 2, 1]}
      n: {draw: integer, low: 0, high: 999}
  more:
    type: SampleColumns
    after: rows
    input_batch_size: 13
    columns:
      score: {draw: integer, low: 0, high: 10}
      note: {draw: subcategory, of: topic, values: {tides: [sea, moon], bread: [salt], rust: [iron, red]}}
  judge: {type: "own_steps:Judge", after: more, input_batch_size: 10}
  parse:
    type: ParseColumns
    after: judge
    input_batch_size: 11
    column: answer
    pattern: 'Reason: (?P<reason>.*)'
    columns: {rating: {pattern: 'Score: (.*)', as: score, scale: 5}}
    drop: true
  good: {type: FilterRows, after: parse, input_batch_size: 17, condition: rating >= 1.5 and topic != 'rust'}
  even: {type: FilterRows, after: good, input_batch_size: 7, function: "own_steps:is_even"}
"""


def write(harness: Harness) -> Harness:
    (harness.folder / "own_steps.py").write_text(OWN)
    return harness


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from map(write, harnesses(tmp_path))


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    for harness in map(write, harnesses(tmp_path_factory.mktemp("columns"))):
        pipeline = Pipeline.left_alone(harness, SPEC)
        rows = harness.rows()
        assert 20 < len(rows) < 200
        assert all(row["reason"] == f"it is about {row['topic']}" and row["rating"] == row["score"] / 2 for row in rows)
        assert all(row["rating"] >= 1.5 and row["topic"] != "rust" and row["n"] % 2 == 0 for row in rows)
        assert set(rows[0]) == {"topic", "n", "score", "note", "reason", "rating"}
        yield pipeline


def test_steps_on_columns_give_the_same_rows_whatever_is_killed(
    harness: Harness, alone: Pipeline, redis_url: str
) -> None:
    sight = Sight(harness, redis_url)
    command = alone.start(harness, "--broker", redis_url)
    sight.wait_for_results("judge", 4)
    for step in ("rows", "judge", "good"):
        for worker in sight.workers(step):
            worker.kill()
    sight.wait_for_results("judge", 9)
    command.kill()
    command.wait()
    assert sight.results("judge") < 30, "nothing is left to resume"
    alone.finish(harness, "--broker", redis_url)
    assert harness.record().rows == {"even": len(harness.rows())}
