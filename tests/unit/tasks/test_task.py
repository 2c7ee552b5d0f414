"""A task of a user's own: what its author writes, and what the base does around it."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from common.errors import RowError, UsageError
from common.llms import LLM, ChatMessage
from common.llms.structured.structured_output import StructuredOutput
from common.steps.base import Row
from common.steps.metadata import METADATA
from common.steps.retry import OutOfRetries
from common.steps.tasks import Task
from tests.support.tasks.scripted import Scripted, rows_of, scripted

SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}


class Score(Task):
    inputs: ClassVar[Any] = ["answer"]
    outputs: ClassVar[Any] = ["score"]

    def format_input(self, row: Row) -> Any:
        return f"Rate from 1 to 5: {row['answer']}"

    def format_output(self, text: str | None, row: Row) -> dict[str, Any]:
        assert text is not None
        return {"score": int(text)}

    def get_structured_output(self) -> dict[str, Any]:
        return SCHEMA


class FromDistilabel(Task):
    @property
    def inputs(self) -> list[str]:
        return ["answer"]

    @property
    def outputs(self) -> list[str]:
        return ["score", "model_name"]

    def format_input(self, input: dict[str, Any]) -> Any:
        return [{"role": "user", "content": input["answer"]}]

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> dict[str, Any]:
        assert input is not None
        return {"score": f"{output} of {input['answer']}"}


class Formless(LLM):
    @property
    def model_name(self) -> str:
        return "formless"

    async def agenerate(self, messages: list[ChatMessage]) -> str:
        return "4"


ROW = {"answer": "42"}


def the_row(task: Any, row: Row = ROW) -> Row:
    [made] = rows_of(task, row)
    return made


def test_a_task_adds_its_columns_the_model_and_the_metadata() -> None:
    task = scripted(Score, " 4\n")
    assert task.outputs == ["score", "model_name", "distilabel_metadata"]
    assert the_row(task) == {
        "answer": "42",
        "score": 4,
        "model_name": "scripted",
        METADATA: {
            "raw_input_task": [{"role": "user", "content": "Rate from 1 to 5: 42"}],
            "raw_output_task": " 4\n",
            "statistics_task": {"input_tokens": 1, "output_tokens": 1},
        },
    }


def test_the_spelling_of_distilabel_is_the_same_contract() -> None:
    task = scripted(FromDistilabel, "5")
    assert task.outputs == ["score", "model_name", "distilabel_metadata"]
    assert the_row(task)["score"] == "5 of 42"


def test_several_generations_are_rows_or_a_list_for_each_column() -> None:
    rows = rows_of(scripted(Score, ["1", "2"], {"num_generations": 2}), ROW)
    assert [row["score"] for row in rows] == [1, 2]
    [row] = rows_of(scripted(Score, ["1", "2"], {"num_generations": 2, "group_generations": True}), ROW)
    assert row["score"] == [1, 2]
    assert row[METADATA]["raw_output_task"] == ["1", "2"]


# answers that cannot be read


def test_an_answer_that_cannot_be_read_is_asked_for_again() -> None:
    task = scripted(Score, ["four", "4"], {"parse_retries": 1})
    assert the_row(task)["score"] == 4
    assert len(task.llm.asked) == 2  # type: ignore[attr-defined]


def test_one_unreadable_generation_of_three_costs_one_more_call() -> None:
    task = scripted(Score, ["1", "two", "3", "4"], {"parse_retries": 1, "num_generations": 3})
    assert sorted(row["score"] for row in rows_of(task, ROW)) == [1, 3, 4]


def test_after_its_retries_the_row_fails_with_what_the_model_said() -> None:
    task = scripted(Score, ["four", "vier"], {"parse_retries": 1})
    with pytest.raises(
        OutOfRetries, match=r"model 'scripted' cannot be read: ValueError: .*; the answer: vier"
    ) as failed:
        rows_of(task, ROW)
    assert failed.value.tries == 2
    assert failed.value.columns[METADATA]["raw_output_task"] == "vier"
    assert failed.value.cause.columns[METADATA]["raw_output_task"] == "vier"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([1], "format_output returned a value of type list where a mapping of columns is expected"),
        ({}, "format_output returned no column 'score'"),
        (KeyError("x"), "KeyError: 'x'"),
        (RecursionError("deep"), "RecursionError: deep"),
        (RowError("no digit"), "cannot be read: no digit; the answer: 4"),
    ],
)
def test_whatever_the_code_of_a_task_makes_of_a_reply_the_row_alone_fails(found: Any, message: str) -> None:
    class Odd(Score):
        def format_output(self, text: str | None, row: Row) -> dict[str, Any]:
            if isinstance(found, Exception):
                raise found
            return found  # type: ignore[no-any-return]

    with pytest.raises(OutOfRetries, match="the answer: 4") as failed:
        rows_of(scripted(Odd, "4"), ROW)
    assert message in str(failed.value)


def test_a_usage_error_halts_the_run() -> None:
    class Halting(Score):
        def format_output(self, text: str | None, row: Row) -> dict[str, Any]:
            raise UsageError("install the dictionary")

    with pytest.raises(UsageError, match="install the dictionary"):
        rows_of(scripted(Halting, "4", {"parse_retries": 9}), ROW)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "format_input returned None where a list of messages is expected"),
        ([], "format_input returned an empty list"),
        ([{"role": "user"}], "a value of type dict as message 0, where a mapping with 'role' and 'content'"),
        (KeyError("question"), "format_input: KeyError: 'question'"),
    ],
)
def test_a_row_without_a_prompt_fails_and_nothing_is_asked(made: Any, message: str) -> None:
    class Odd(Score):
        def format_input(self, row: Row) -> Any:
            if isinstance(made, Exception):
                raise made
            return made

    task = scripted(Odd, "4")
    with pytest.raises(task.final_errors, match=message):
        rows_of(task, ROW)
    assert task.llm.asked == []  # type: ignore[attr-defined]


# system prompts, reasoning, forms


@pytest.mark.parametrize(
    ("parameters", "system"),
    [({}, "step's"), ({"use_row_system_prompt": True}, "row's"), ({"use_system_prompt": True}, "row's")],
)
def test_the_system_prompt_of_a_row_counts_only_where_a_step_says_so(parameters: dict[str, Any], system: str) -> None:
    task = scripted(Score, "4", {"system_prompt": "step's", **parameters})
    rows_of(task, {**ROW, "system_prompt": "row's"})
    assert task.llm.asked[0][0] == {"role": "system", "content": system}  # type: ignore[attr-defined]
    rows_of(task, {**ROW, "system_prompt": ""})
    assert task.llm.asked[1][0] == {"role": "system", "content": "step's"}  # type: ignore[attr-defined]
    assert (task.inputs == {"answer": True, "system_prompt": False}) is bool(parameters)


@pytest.mark.parametrize(("value", "column"), [(True, "reasoning"), ("thoughts", "thoughts")])
def test_the_reasoning_of_a_model_can_be_a_column(value: bool | str, column: str) -> None:
    task = scripted(Score, "4", {"llm": Scripted(replies=["4"], reasoning="2 + 2"), "add_reasoning": value})
    assert column in task.outputs
    assert the_row(task)[column] == "2 + 2"


def test_the_default_form_of_a_task_is_demanded_of_the_model_if_the_step_says_so() -> None:
    assert scripted(Score, "4").llm.answer_form is None
    task = scripted(Score, "4", {"use_default_structured_output": True})
    assert task.llm.answer_form == StructuredOutput(schema=SCHEMA)
    own = Scripted(replies=["4"], structured_output=StructuredOutput(format="regex", schema=r"\d"))
    assert scripted(Score, "4", {"llm": own, "use_default_structured_output": True}).llm is own
    with pytest.raises(ValidationError, match="Formless has no structured_output"):
        Score(llm=Formless(), use_default_structured_output=True)


def test_a_row_may_demand_a_form_of_its_own() -> None:
    class Formed(Score):
        def format_input(self, row: Row) -> Any:
            return [{"role": "user", "content": "?"}], row["form"]

    form = {"format": "regex", "schema": "[0-9]"}
    assert the_row(scripted(Formed, "4"), {"form": form})["score"] == 4
    with pytest.raises(RowError, match="has the wrong form: it does not match"):
        rows_of(scripted(Formed, "44"), {"form": form})
    with pytest.raises(RowError, match=r"structured_output of the row: .*format: regex needs a text as its schema"):
        rows_of(scripted(Formed, "4"), {"form": {"format": "regex", "schema": 1}})


def test_a_row_cannot_make_a_worker_import_the_class_that_it_names() -> None:
    class Formed(Score):
        def format_input(self, row: Row) -> Any:
            return "?", {"schema": "this:City"}

    with pytest.raises(RowError, match="'this:City' is not allowed here"):
        rows_of(scripted(Formed, "4"), ROW)
    assert "this" not in sys.modules


def test_a_model_without_forms_fails_the_rows_that_demand_one() -> None:
    class Formed(Score):
        def format_input(self, row: Row) -> Any:
            return "?", {"format": "regex", "schema": "4"}

    with pytest.raises(RowError, match="Formless has no structured_output"):
        rows_of(Formed(llm=Formless()), ROW)


def test_an_answer_of_tool_calls_alone_is_none_unless_the_task_says_otherwise() -> None:
    with pytest.raises(RowError, match="gave no text"):
        rows_of(scripted(Score, [None]), ROW)
