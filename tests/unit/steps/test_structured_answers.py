"""TextGeneration with a model whose answers have a form, against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from common.errors import UsageError
from common.llms import AnthropicLLM, OpenAILLM
from common.steps import TextGeneration
from common.steps.base import Row
from common.steps.retry import OutOfRetries
from coordinator.plan.load import prepare
from tests.support.servers.anthropic_server import AnthropicServer, said
from tests.support.servers.api_server import KEY, serving_api
from tests.support.servers.chat_server import Answer, ChatServer, completion, serving

PARIS = '{"name": "Paris", "people": 2}'


class City(BaseModel):
    name: str
    people: int
    river: str | None = None


def answered(
    answer: Callable[[dict[str, Any]], Answer], form: Any = None, provider: str | None = None, **options: Any
) -> tuple[Row | list[Row] | Exception, ChatServer]:
    """The row of a step whose model has such an endpoint, or its error."""

    async def one() -> tuple[Row | list[Row] | Exception, ChatServer]:
        async with serving(answer) as chat:
            llm = OpenAILLM(
                model="m", base_url=chat.url, api_key=KEY, provider=provider, structured_output=form or {"schema": City}
            )
            step = TextGeneration(**({"name": "cities", "llm": llm, "backoff": (0.0, 0.0)} | options))
            step._enable_metadata = True
            step.load()
            await step.aload()
            try:
                return await step.process_row({"instruction": "Which city?"}), chat
            except Exception as error:
                return error, chat
            finally:
                await step.aunload()

    return asyncio.run(one())


def sequence(*texts: str) -> Callable[[dict[str, Any]], Answer]:
    left = list(texts)
    return lambda _: completion(left.pop(0))


def test_the_endpoint_is_told_the_form_and_the_answer_becomes_text_and_columns() -> None:
    row, chat = answered(sequence(f"```json\n{PARIS}\n```"), structured_columns=True)
    assert isinstance(row, dict)
    assert row["generation"] == PARIS
    assert (row["name"], row["people"], row["river"]) == ("Paris", 2, None)
    [(_, _, body)] = chat.requests
    assert body["response_format"]["json_schema"]["name"] == "City"
    assert body["messages"] == [{"role": "user", "content": "Which city?"}]


def test_an_endpoint_without_an_option_for_the_form_reads_it_in_the_prompt() -> None:
    row, chat = answered(sequence("dark blue"), {"format": "choice", "schema": ["red", "dark blue"]})
    assert isinstance(row, dict)
    assert row["generation"] == "dark blue"
    assert "- dark blue" in chat.requests[0][2]["messages"][-1]["content"]


def test_a_server_that_is_told_a_choice_does_not_read_it_in_the_prompt_unless_asked_to() -> None:
    colours = {"format": "choice", "schema": ["red", "dark blue"]}
    _, chat = answered(sequence("red"), colours, "vllm")
    assert chat.requests[0][2]["structured_outputs"] == {"choice": ["red", "dark blue"]}
    assert chat.requests[0][2]["messages"][-1]["content"] == "Which city?"
    _, chat = answered(sequence("red"), {**colours, "in_prompt": True}, "vllm")
    assert "- red" in chat.requests[0][2]["messages"][-1]["content"]


def test_a_wrong_answer_is_shown_to_the_model_with_its_fault_and_both_calls_count() -> None:
    row, chat = answered(sequence('{"name": "Paris"}', PARIS), retries=0)
    assert isinstance(row, dict)
    assert row["generation"] == PARIS
    _, answer, fault = chat.requests[1][2]["messages"]
    assert answer == {"role": "assistant", "content": '{"name": "Paris"}'}
    assert "at $: 'people' is a required property" in fault["content"]
    assert chat.requests[1][2]["response_format"]["type"] == "json_schema"
    assert row["distilabel_metadata"]["statistics_cities"] == {"input_tokens": 14, "output_tokens": 6}


def test_an_answer_that_stays_wrong_is_asked_for_again_as_the_retries_say_and_fails_with_its_text() -> None:
    error, chat = answered(lambda _: completion("no city"), retries=1)
    assert isinstance(error, OutOfRetries)
    assert "the answer of model 'm' has the wrong form: it is not JSON" in str(error)
    assert str(error).endswith("the answer: no city")
    assert error.cause.columns["distilabel_metadata"]["raw_output_cities"] == "no city"  # type: ignore[attr-defined]
    # A question and its repair, twice; the second question has nothing of the first.
    assert [len(body["messages"]) for _, _, body in chat.requests] == [1, 3, 1, 3]


def test_without_repair_a_wrong_answer_is_asked_for_again_at_once() -> None:
    row, chat = answered(sequence("no city", PARIS), {"schema": City, "repair": False}, retries=1)
    assert isinstance(row, dict)
    assert [len(body["messages"]) for _, _, body in chat.requests] == [1, 1]


def test_of_several_generations_one_that_is_wrong_is_repaired_by_itself() -> None:
    row, chat = answered(
        sequence("no city", PARIS, PARIS), num_generations=2, group_generations=True, structured_columns=True
    )
    assert isinstance(row, dict)
    assert row["generation"] == [PARIS, PARIS]
    assert row["name"] == ["Paris", "Paris"]
    assert row["river"] == [None, None]
    assert len(chat.requests) == 3


def test_a_form_that_the_endpoint_refuses_halts_the_run() -> None:
    error, _ = answered(lambda _: (400, {}, {"error": {"message": "Invalid schema for response_format 'City'"}}))
    assert isinstance(error, UsageError)
    assert "simplify its schema, or set constrain: false" in str(error)


def test_an_answer_that_the_endpoint_itself_found_wrong_is_asked_for_again() -> None:
    refused = {"error": {"code": "json_validate_failed", "message": "Failed to generate JSON. See response_format."}}
    answers = iter([(400, {}, refused), completion(PARIS)])
    row, chat = answered(lambda _: next(answers))
    assert isinstance(row, dict)
    assert len(chat.requests) == 2


def test_claude_gives_its_answer_to_a_tool() -> None:
    async def one() -> tuple[Any, AnthropicServer]:
        server = AnthropicServer()
        block = {"type": "tool_use", "id": "t", "name": "answer", "input": json.loads(PARIS)}
        server.script.append(said(block, stop_reason="tool_use"))
        async with serving_api(server):
            llm = AnthropicLLM(model="claude-x", base_url=server.url, api_key=KEY, structured_output=City)
            step = TextGeneration(name="cities", llm=llm, structured_columns=True)
            step.load()
            await step.aload()
            try:
                return await step.process_row({"instruction": "Which city?"}), server
            finally:
                await step.aunload()

    row, server = asyncio.run(one())
    assert json.loads(row["generation"]) == json.loads(PARIS)
    assert row["name"] == "Paris"
    assert server.asked[0].body["tool_choice"] == {"type": "tool", "name": "answer"}


# the columns


def test_the_columns_are_outputs_that_the_plan_knows() -> None:
    llm = OpenAILLM(model="m", structured_output=City)
    assert TextGeneration(name="c", llm=llm, structured_columns=True).outputs == [
        *("generation", "model_name"),
        *("name", "people", "river"),
    ]
    assert TextGeneration(name="c", llm=llm).outputs == ["generation", "model_name"]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (None, "structured_columns needs an llm with a structured_output"),
        ({"format": "choice", "schema": ["a"]}, "whose schema is a JSON object with properties"),
        (
            {"schema": {"type": "object", "properties": {"generation": {}}}},
            "the schema has 'generation', a column of the step: rename it",
        ),
    ],
)
def test_columns_need_an_object_whose_properties_have_other_names(form: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TextGeneration(name="c", llm=OpenAILLM(model="m", structured_output=form), structured_columns=True)


SPEC = """
name: cities
steps:
  load: {type: LoadDataFromDicts, data: [{instruction: hi}]}
  ask:
    type: TextGeneration
    after: load
    llm:
      type: OpenAILLM
      model: m
      structured_output: {schema: "forms_of_cities:City"}
    structured_columns: true
"""
CLASS = """
from pydantic import BaseModel

class City(BaseModel):
    name: str
"""


def test_workers_get_the_schema_in_place_of_the_class_that_the_spec_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "forms_of_cities.py").write_text(CLASS)
    prepared = prepare(tmp_path / "spec.yaml")
    sent = prepared.spec.dump()["steps"]["ask"]["llm"]
    assert sent["structured_output"]["schema"]["required"] == ["name"]
    assert sent["model"] == "m"
    assert "forms_of_cities:City" in prepared.text
    assert "name" in (prepared.columns()["ask"] or ())
