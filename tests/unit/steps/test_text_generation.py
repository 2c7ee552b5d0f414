"""TextGeneration and its clients, the OpenAI client against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from common.errors import RowError
from common.llms import LLM, ChatMessage, EchoLLM, Generation, OpenAILLM
from common.steps import TextGeneration
from common.steps.base import Row
from tests.support.servers.chat_server import echoed, serving

KEY = "sk-secret-1234567890"


class Recorder(LLM):
    """Answers with the conversation it got, or what `answers` has for the prompt."""

    answers: dict[str, str | None] = {}
    calls: list[str] = []

    @property
    def model_name(self) -> str:
        return "recorder"

    def load(self) -> None:
        self.calls.append("load")

    async def aload(self) -> None:
        self.calls.append("aload")

    async def aunload(self) -> None:
        self.calls.append("aunload")

    def unload(self) -> None:
        self.calls.append("unload")

    async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
        text = " | ".join(f"{message['role']}: {message['content']}" for message in messages)
        return Generation(text=self.answers.get(messages[-1]["content"], text), finish_reason="stop")


@asynccontextmanager
async def loaded(step: TextGeneration) -> AsyncIterator[TextGeneration]:
    """What a worker does around the rows."""
    step.load()
    await step.aload()
    try:
        yield step
    finally:
        await step.aunload()
        step.unload()


def run(step: TextGeneration, row: Row) -> Row | list[Row]:
    async def one() -> Row | list[Row]:
        async with loaded(step):
            return await step.process_row(row)

    return asyncio.run(one())


def step(**options: Any) -> TextGeneration:
    return TextGeneration(name="generate", **({"llm": Recorder()} | options))


@pytest.fixture(autouse=True)
def _no_endpoint_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


# The prompt


def test_the_default_prompt_is_the_instruction_and_the_answer_goes_into_two_columns() -> None:
    assert run(step(), {"id": 1, "instruction": "hi"}) == {
        "id": 1,
        "instruction": "hi",
        "generation": "user: hi",
        "model_name": "recorder",
    }


def test_the_row_that_came_in_is_left_as_it_was_for_a_retry() -> None:
    row = {"instruction": "hi"}
    run(step(), row)
    assert row == {"instruction": "hi"}


def test_a_template_uses_columns_and_a_system_prompt_comes_first() -> None:
    generate = step(template="{{ question|upper }}{% if hint %} ({{ hint }}){% endif %}", system_prompt="Be brief.")
    assert generate.columns == ["hint", "question"]
    assert generate.inputs == {"hint": True, "question": True, "system_prompt": False}
    row = run(generate, {"question": "why", "hint": None})
    assert isinstance(row, dict)
    assert row["generation"] == "system: Be brief. | user: WHY"


def test_the_system_prompt_of_a_row_goes_before_that_of_the_step() -> None:
    row = run(step(system_prompt="general"), {"instruction": "hi", "system_prompt": "own"})
    assert isinstance(row, dict)
    assert row["generation"] == "system: own | user: hi"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template": "{{ a }}\n{% if b %}"}, "line 2 of the template: Unexpected end of template"),
        ({"template": "{{ a }}\n\n{{ b | nofilter }}"}, "line 3 of the template: No filter named 'nofilter'"),
        ({"template": "always the same"}, "uses no column"),
        ({"template": "{{ contxt }}", "columns": ["context", "id"]}, "'contxt'; did you mean 'context'"),
        ({"columns": ["prompt"]}, "template uses 'instruction'"),
        ({"llm": {"model": "m"}}, "llm needs a type"),
        ({"llm": {"type": "OpenAILM", "model": "m"}}, "OpenAILLM"),
        ({"llm": {"type": "EchoLLM", "latncy": 1}}, "latncy"),
    ],
)
def test_a_wrong_step_is_refused_when_it_is_built(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        step(**options)


def test_an_error_in_the_llm_has_its_place_below_llm() -> None:
    with pytest.raises(ValidationError) as caught:
        step(llm={"type": "OpenAILLM", "model": "m", "timeout": "soon"})
    assert [error["loc"] for error in caught.value.errors()] == [("llm", "timeout")]


@pytest.mark.parametrize(
    ("options", "row", "message"),
    [
        ({}, {"text": "hi"}, r"'instruction' is undefined; the row has the columns 'text'"),
        ({}, {"instruction": None}, r"template would print None.*None in this row: \['instruction'\]"),
        ({"template": "{{ a / b }}"}, {"a": 1, "b": 0}, "template: division by zero"),
        ({"template": "{{ a.__class__.__mro__ }}"}, {"a": 1}, "unsafe"),
    ],
)
def test_a_row_whose_prompt_cannot_be_made_fails_with_the_reason(
    options: dict[str, Any], row: Row, message: str
) -> None:
    with pytest.raises(RowError, match=message):
        run(step(**options), row)


# Generations


def test_several_generations_make_several_rows_or_one_row_with_a_list() -> None:
    row = {"instruction": "hi"}
    added = {"generation": "user: hi", "model_name": "recorder"}
    assert run(step(num_generations=2), row) == [row | added, row | added]
    grouped = {"generation": ["user: hi", "user: hi"], "model_name": "recorder"}
    assert run(step(num_generations=2, group_generations=True), row) == row | grouped


@pytest.mark.parametrize("answer", [None, "", " \n"])
@pytest.mark.parametrize("num_generations", [1, 2])
def test_a_row_for_which_the_model_has_no_words_fails(num_generations: int, answer: str | None) -> None:
    generate = step(llm=Recorder(answers={"hi": answer}), num_generations=num_generations, group_generations=True)
    with pytest.raises(RowError, match=r"model 'recorder' gave no text \(finish_reason: stop\)"):
        run(generate, {"instruction": "hi"})


def test_the_client_is_opened_and_closed_with_the_step() -> None:
    llm = Recorder(calls=[])
    run(step(llm=llm), {"instruction": "hi"})
    assert llm.calls == ["load", "aload", "aunload", "unload"]


def test_a_step_comes_back_from_its_dump_and_the_dump_has_no_key() -> None:
    generate = step(llm=OpenAILLM(model="m", base_url="http://h/v1", api_key=SecretStr(KEY)))
    dumped = generate.model_dump(mode="json")
    assert dumped["llm"]["type"] == "OpenAILLM"
    assert "api_key" not in dumped["llm"]
    assert KEY not in json.dumps(dumped) + repr(generate)
    again = TextGeneration.model_validate(dumped)
    assert again.model_dump(mode="json") == dumped


# EchoLLM


def test_echo_answers_the_same_each_time_and_says_that_it_is_no_model() -> None:
    generate = step(llm={"type": "EchoLLM", "prefix": "> "}, template="Explain.\n{{ quote }}")
    first, second = (run(generate, {"quote": "The map is not the territory."}) for _ in range(2))
    assert first == second
    assert isinstance(first, dict)
    assert first["generation"] == '> Echo (no model was asked) of a prompt of 7 words: "The map is not the territory."'
    assert first["model_name"] == "echo"


def test_echo_takes_its_latency_without_holding_up_other_rows() -> None:
    async def many() -> float:
        async with loaded(step(llm=EchoLLM(latency=0.1))) as generate:
            started = time.monotonic()
            await asyncio.gather(*(generate.process_row({"instruction": str(n)}) for n in range(20)))
            return time.monotonic() - started

    assert 0.1 <= asyncio.run(many()) < 1


def test_a_hundred_rows_are_in_flight_at_once() -> None:
    async def many() -> tuple[list[Any], int]:
        async with serving(echoed, delay=0.5) as chat:
            llm = {"type": "OpenAILLM", "model": "m", "base_url": chat.url}
            async with loaded(step(llm=llm, concurrency=100)) as generate:
                rows = [generate.process_row({"instruction": str(number)}) for number in range(100)]
                return await asyncio.gather(*rows), chat.most_in_flight

    rows, most_in_flight = asyncio.run(many())
    assert [row["generation"] for row in rows] == [f"answer to {number}" for number in range(100)]
    assert most_in_flight == 100


async def asked(row: Row, **options: Any) -> list[ChatMessage]:
    async with loaded(TextGeneration(llm=Recorder(), **options)) as step:
        return step.asker.messages(row)[0]


CHAT = [
    {"role": "system", "content": "Be brief.", "name": None},
    {"role": "user", "content": "Hi", "name": "ann"},
]


@pytest.mark.parametrize(("template", "column"), [("{{ instruction }}", "instruction"), (" {{chat}}\n", "chat")])
def test_a_list_of_messages_is_sent_as_the_conversation(template: str, column: str) -> None:
    sent = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": "ann"}]
    assert asyncio.run(asked({column: CHAT}, template=template, system_prompt="Be long.")) == sent
    alone = asyncio.run(asked({column: CHAT[1:]}, template=template, system_prompt="Be long."))
    assert alone == [{"role": "system", "content": "Be long."}, sent[1]]
    with pytest.raises(RowError, match="two system prompts"):
        asyncio.run(asked({column: CHAT, "system_prompt": "x"}, template=template))


@pytest.mark.parametrize(
    ("row", "template", "error"),
    [
        ({"instruction": ["a"]}, "{{ instruction }}", r"instruction\[0\] must be a message, .* \| tojson }}"),
        ({"instruction": []}, "{{ instruction }}", "an empty list"),
        ({"instruction": {"a": 1}}, "{{ instruction }}", r"print a value of type dict .* \| tojson }}"),
        ({"instruction": b"a"}, "{{ instruction }}", "print a value of type bytes"),
        ({"chat": CHAT}, "Go on: {{ chat }}", "print a value of type list"),
        (
            {"instruction": "a", "system_prompt": CHAT},
            "{{ instruction }}",
            "'system_prompt' holds a value of type list",
        ),
    ],
)
def test_what_is_no_text_is_refused_where_it_would_be_printed_as_python_writes_it(
    row: Row, template: str, error: str
) -> None:
    with pytest.raises(RowError, match=error):
        asyncio.run(asked(row, template=template))


def test_numbers_are_printed_and_lists_where_the_template_says_how() -> None:
    template = "{{ n }} {{ chat | tojson }} {{ words | join(', ') }}{% for turn in chat %} {{ turn.role }}{% endfor %}"
    (message,) = asyncio.run(asked({"n": 1.5, "chat": CHAT[1:], "words": ["a", "b"]}, template=template))
    assert message["content"] == '1.5 [{"content": "Hi", "name": "ann", "role": "user"}] a, b user'
