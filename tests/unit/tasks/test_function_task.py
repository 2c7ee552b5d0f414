"""`@task`: tasks made of functions."""

from __future__ import annotations

from typing import Any

import pytest

from common.building.build import resolve_step
from common.errors import RowError, UsageError
from common.steps.base import Row
from common.steps.tasks import task
from tests.support.steps.sample_tasks import Halves, Judge, Ported, Topics, Verdict
from tests.support.tasks.scripted import rows_of, scripted

ROW = {"text": "rain"}


def added(step: Any, row: Row) -> dict[str, Any]:
    [made] = rows_of(step, row)
    return {name: value for name, value in made.items() if name not in (*row, *step._common_outputs)}


def asked(step: Any) -> list[tuple[str, str]]:
    return [(each["role"], each["content"]) for each in step.llm.asked[0]]


def test_the_docstring_is_the_prompt_and_the_function_reads_the_answer() -> None:
    step = scripted(Topics, "rain wind")
    assert step.inputs == ["text"]
    assert added(step, ROW) == {"topics": ["rain", "wind"]}
    assert asked(step) == [("user", "Name the topics of this text.\n\nrain")]


def test_a_returned_class_of_pydantic_is_demanded_of_the_model_and_its_fields_are_columns() -> None:
    row = {"question": "2+2?", "answer": "4"}
    step = scripted(Judge, '```json\n{"score": 5, "reason": "right"}\n```')
    assert step.inputs == ["answer", "question"]
    assert step.llm.answer_form.schema_ == Verdict.model_json_schema()  # type: ignore[union-attr]
    assert added(step, row) == {"score": 5, "reason": "right"}
    assert added(scripted(Judge, '{"score": 5}'), row) == {"score": 5, "reason": ""}
    with pytest.raises(RowError, match="has the wrong form"):
        added(scripted(Judge, "five"), row)
    without = {"use_default_structured_output": False}
    assert added(scripted(Judge, '{"score": 5}', without), row)["score"] == 5
    with pytest.raises(RowError, match=r"cannot be read: at score: Input should be a valid integer.*; the answer: {"):
        added(scripted(Judge, '{"score": "high"}', without), row)


def test_a_typed_dict_names_the_columns_and_runtime_parameters_are_parameters() -> None:
    step = scripted(Halves, "a+b", {"separator": "+"})
    assert step.outputs == {"first": True, "second": True, "model_name": True, "distilabel_metadata": True}
    assert added(step, ROW) == {"first": "rain: a", "second": "b"}
    assert asked(step) == [("system", "Be brief."), ("user", "Write about rain.")]
    with pytest.raises(RowError, match="cannot be read: ValueError: not enough values"):
        added(scripted(Halves, "a+b"), ROW)


def test_prompts_are_parameters_too() -> None:
    step = scripted(Topics, "a", {"template": "Topics of {{ text }}?", "system_prompt": "Be brief."})
    added(step, ROW)
    assert asked(step) == [("system", "Be brief."), ("user", "Topics of rain?")]


def test_a_docstring_of_distilabel_is_read_as_there() -> None:
    step = scripted(Ported, "Hi.")
    assert added(step, {"instruction": "Greet {me}.", "tone": "kind"}) == {"reply": "Hi."}
    assert asked(step) == [
        ("system", "Your tone is kind."),
        ("user", 'Answer with JSON such as {"a": 1}: Greet {me}.'),
    ]


def test_a_spec_names_the_function() -> None:
    assert resolve_step("tests.support.steps.sample_tasks:Topics", ["tests"]) is Topics


def no_arguments() -> Any:
    """{{ a }}"""


def no_columns(answer: str) -> Any:
    """Say something."""


def no_outputs(answer: str) -> Any:
    """{{ a }}"""


def bad_template(answer: str) -> Any:
    """{{ a"""


async def waits(answer: str) -> Any:
    """{{ a }}"""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_arguments, r"it takes the answer, and the row if it likes: def no_arguments\(answer, row\)"),
        (no_columns, r"its prompt uses no column"),
        (no_outputs, r"does not say which columns it adds; name them, @task\(outputs=\[\.\.\.\]\)"),
        (bad_template, r"its prompt is not a template: line 1"),
        (waits, r"write it as a plain function"),
    ],
)
def test_a_function_that_is_no_task_is_refused_with_its_place(function: Any, message: str) -> None:
    with pytest.raises(
        UsageError, match=rf"@task cannot turn '{function.__name__}' into a task \(.*\.py:\d+\): .*{message}"
    ):
        task()(function)


def test_parentheses_are_needed() -> None:
    with pytest.raises(UsageError, match=r"@task needs parentheses"):
        task(no_outputs)  # type: ignore[arg-type]
