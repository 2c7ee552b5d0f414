"""A generator step whose rows are a model's answers."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from common.errors import RowError
from common.llms import ChatMessage, Generation
from common.steps.base import Row
from common.steps.metadata import METADATA
from common.steps.tasks import Answer, GeneratorTask
from tests.support.tasks.scripted import Scripted, scripted


class Facts(GeneratorTask):
    outputs: ClassVar[Any] = ["topic", "fact"]

    def seed_row(self, number: int) -> Row:
        return {"topic": f"topic {number}"}

    def format_input(self, row: Row) -> Any:
        return f"A fact about {row['topic']}"

    def format_output(self, text: str | None, row: Row) -> dict[str, Any]:
        assert text is not None
        if "?" in text:
            raise RowError("that is a question")
        return {"fact": text}


def made(task: Any, offset: int = 0) -> list[tuple[list[Row], bool]]:
    task.load()
    return list(task.process(offset))


def facts(batches: list[tuple[list[Row], bool]]) -> list[tuple[str, str]]:
    return [(row["topic"], row["fact"]) for rows, _ in batches for row in rows]


def test_a_generator_task_asks_for_its_rows_in_batches_and_marks_the_last_one() -> None:
    batches = made(scripted(Facts, ["a", "b", "c"], {"num_rows": 3, "batch_size": 2}))
    assert [(len(rows), last) for rows, last in batches] == [(2, False), (1, True)]
    assert facts(batches) == [("topic 0", "a"), ("topic 1", "b"), ("topic 2", "c")]
    assert batches[0][0][0]["model_name"] == "scripted"
    assert batches[0][0][0][METADATA]["raw_output_task"] == "a"


@pytest.mark.parametrize("offset", range(7))
def test_it_resumes_at_any_row_of_any_prompt(offset: int) -> None:
    task = scripted(Facts, "x", {"num_rows": 3, "num_generations": 2, "batch_size": 3})
    assert facts(made(task, offset)) == [(f"topic {n}", "x") for n in (0, 0, 1, 1, 2, 2)][offset:]


def test_grouped_generations_are_one_row() -> None:
    batches = made(scripted(Facts, ["a", "b"], {"num_generations": 2, "group_generations": True}))
    assert facts(batches) == [("topic 0", ["a", "b"])]


def test_a_row_without_an_answer_keeps_its_place_and_what_the_model_said() -> None:
    task = scripted(Facts, ["a", "who?", "c"], {"num_rows": 3})
    [(rows, _)] = made(task)
    assert [row["fact"] for row in rows] == ["a", None, "c"]
    assert [row["topic"] for row in rows] == ["topic 0", "topic 1", "topic 2"]
    assert rows[1][METADATA]["raw_output_task"] == "who?"
    with pytest.raises(RowError, match="that is a question; the answer: who"):
        made(scripted(Facts, "who?", {"on_error": "fail"}))


def test_a_failed_call_is_no_row_with_none_but_an_error_of_the_generator() -> None:
    class Failing(Scripted):
        async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
            raise ConnectionError("no route")

    with pytest.raises(RowError, match="no route"):
        made(scripted(Facts, "a", {"llm": Failing(replies=["a"])}))


def test_a_generator_task_may_ask_several_things_for_a_row() -> None:
    class Refined(Facts):
        async def process_row(self, row: Row) -> Row:
            draft = await self.asker.ask(row, self.format_input(row), str.upper)
            final = await self.asker.ask(row, f"Shorten: {draft.found}", str.strip, [draft])
            return self.asker.row(row, [Answer.of([draft, final], {"fact": final.found})])

    task = scripted(Refined, [" long ", " short "])
    assert facts(made(task)) == [("topic 0", "short")]
    assert task.llm.asked[1][-1]["content"] == "Shorten:  LONG "  # type: ignore[attr-defined]
