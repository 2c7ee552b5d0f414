"""The metadata of a row for which a task asks several things: all of them, in order, and the sum of their tokens."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from common.errors import RowError
from common.llms import ChatMessage, Generation
from common.steps.base import Row
from common.steps.metadata import METADATA
from common.steps.tasks import Answer, EvolInstruct, Magpie, Task
from tests.support.tasks.scripted import Scripted, rows_of, scripted

ROW = {"instruction": "a"}
EVOLVED = {"num_evolutions": 2, "generate_answers": True, "mutation_templates": {"X": "<PROMPT>!"}}


def user(text: str) -> list[ChatMessage]:
    return [{"role": "user", "content": text}]


def test_a_row_has_what_was_asked_and_answered_each_time_and_the_tokens_of_all() -> None:
    [row] = rows_of(scripted(EvolInstruct, ["b", "c", "answer"], EVOLVED), ROW)
    assert row[METADATA] == {
        "raw_input_task": [user("a!"), user("b!"), user("c")],
        "raw_output_task": ["b", "c", "answer"],
        "statistics_task": {"input_tokens": 3, "output_tokens": 3},
    }


def test_grouped_generations_have_theirs_each() -> None:
    parameters = {**EVOLVED, "num_evolutions": 1, "num_generations": 2, "group_generations": True}
    [row] = rows_of(scripted(EvolInstruct, ["b", "c", "x", "y"], parameters), ROW)
    assert row[METADATA] == {
        "raw_input_task": [[user("a!"), user("b")], [user("a!"), user("c")]],
        "raw_output_task": [["b", "x"], ["c", "y"]],
        "statistics_task": {"input_tokens": [2, 2], "output_tokens": [2, 2]},
    }


def test_generations_in_rows_have_theirs_each() -> None:
    rows = rows_of(
        scripted(EvolInstruct, ["b", "c", "x", "y"], {**EVOLVED, "num_evolutions": 1, "num_generations": 2}), ROW
    )
    assert [row[METADATA]["raw_output_task"] for row in rows] == [["b", "x"], ["c", "y"]]


def test_turns_of_a_conversation_are_questions() -> None:
    task = scripted(Magpie, ["1", "2", "3", "4"], {"magpie_pre_query_template": "qwen2", "n_turns": 2})
    [row] = rows_of(task, {})
    assert row[METADATA]["raw_output_task"] == ["1", "2", "3", "4"]
    assert row[METADATA]["statistics_task"] == {"input_tokens": 4, "output_tokens": 4}


@pytest.mark.parametrize("generations", [1, 2])
@pytest.mark.parametrize(("grouped", "kept"), [(False, ["b", "b"]), (True, [["b", "b"]])])
def test_a_row_that_fails_at_a_later_question_keeps_those_before_it(grouped: bool, kept: Any, generations: int) -> None:
    parameters = {**EVOLVED, "mutation_templates": {"X": "<PROMPT>"}}
    task = scripted(EvolInstruct, "b", {**parameters, "group_generations": grouped, "num_generations": generations})
    with pytest.raises(RowError, match="repeats the text") as failed:
        rows_of(task, ROW)
    assert failed.value.columns[METADATA]["raw_output_task"] == kept
    counts = [2] if grouped else 2
    assert failed.value.columns[METADATA]["statistics_task"] == {"input_tokens": counts, "output_tokens": counts}


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    known, unknown = Generation("x", input_tokens=2, output_tokens=1), Generation("y", output_tokens=3)
    answer: Answer[Any] = Answer.of([Answer(user("a"), known, "x"), Answer(user("b"), unknown, "y")], {})
    assert answer.tokens == {"input_tokens": None, "output_tokens": 4}


def test_questions_that_are_asked_at_once_keep_their_order() -> None:
    class Uneven(Scripted):
        async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
            turns = 1 + (messages[-1]["content"] == "first")
            for _ in range(turns):
                await asyncio.sleep(0)
            return await super().agenerate(messages, **kwargs)

    class Both(Task):
        inputs: ClassVar[Any] = []
        outputs: ClassVar[Any] = ["both"]

        def format_input(self, row: Row) -> Any:
            return "first"

        def format_output(self, text: str | None, row: Row) -> dict[str, Any]:
            return {"both": text}

        async def process_row(self, row: Row) -> Row:
            answers = await asyncio.gather(*(self.asker.ask(row, each, str, []) for each in ("first", "second")))
            return self.asker.row(row, [Answer.of(answers, {"both": [each.found for each in answers]})])

    [row] = rows_of(scripted(Both, "", {"llm": Uneven(replies=["quick", "slow"])}), {})
    assert row["both"] == row[METADATA]["raw_output_task"] == ["slow", "quick"]
    assert row[METADATA]["raw_input_task"] == [user("first"), user("second")]
