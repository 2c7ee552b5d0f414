"""Scores of several texts beside each other: their scale grows with their number, and none is of another text."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import RowError
from common.steps.tasks import ComplexityScorer, QualityScorer
from common.steps.tasks.asker import PromptError
from tests.support.tasks.scripted import rows_of, scripted

SCORERS = [(QualityScorer, "responses"), (ComplexityScorer, "instructions")]


def row_of(column: str, count: int) -> dict[str, Any]:
    return {"instruction": "Name a star.", column: [f"text {'abcdef'[index]}" for index in range(count)]}


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize(("cls", "column"), SCORERS)
def test_the_scale_ends_one_above_the_number_of_texts(cls: Any, column: str, count: int, as_json: bool) -> None:
    def reply(last: int) -> str:
        scores = [1] * (count - 1) + [last]
        if as_json:
            return f'{{"scores": {scores}}}'
        return "\n".join(f"[{number}] Score: {score}" for number, score in enumerate(scores, 1))

    parameters = {"use_default_structured_output": as_json}
    task: Any = scripted(cls, reply(count + 1), parameters)
    [row] = rows_of(task, row_of(column, count))
    assert row["scores"] == [1.0] * (count - 1) + [count + 1.0]
    assert isinstance(row["scores"][0], float)
    asked = task.llm.asked[0][-1]["content"]
    assert f"gets {count + 1}" in asked
    assert f"[{count}] text {'abcdef'[count - 1]}" in asked
    assert (f"[{count}] Score: ..." in asked) is not as_json
    with pytest.raises(RowError, match=f"is not a whole number from 1 to {count + 1}"):
        rows_of(scripted(cls, reply(count + 2), parameters), row_of(column, count))


@pytest.mark.parametrize("scores", [[1], [1, 2, 3], []])
@pytest.mark.parametrize(("cls", "column"), SCORERS)
def test_another_number_of_scores_fails_the_row(cls: Any, column: str, scores: list[int]) -> None:
    lines = "\n".join(f"[{number}] Score: {score}" for number, score in enumerate(scores, 1))
    for reply in (lines or "none", f'{{"scores": {scores}}}'):
        with pytest.raises(RowError, match="cannot be read"):
            rows_of(scripted(cls, reply), row_of(column, 2))


@pytest.mark.parametrize(("cls", "column"), SCORERS)
def test_a_row_without_texts_fails_and_nothing_is_asked(cls: Any, column: str) -> None:
    task: Any = scripted(cls, "x")
    with pytest.raises(PromptError, match="holds 0 texts where at least one is expected"):
        rows_of(task, row_of(column, 0))
    assert not task.llm.asked
