"""TextGeneration and its clients, the OpenAI client against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from common.errors import RowError, UsageError
from common.llms import LLM, ChatMessage, EchoLLM, Generation, OpenAILLM
from common.steps import TextGeneration
from common.steps.base import Row

Answer = tuple[int, dict[str, str], Any]
"""Status, headers, and the body: text as it is, anything else as JSON."""
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


@dataclass
class ChatServer:
    """An endpoint that gives `answer` to each request, and remembers what it was asked."""

    answer: Callable[[dict[str, Any]], Answer]
    url: str = ""
    delay: float = 0.0
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request_line := (await reader.readline()).decode():
                headers = {}
                while line := (await reader.readline()).decode().strip():
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                self.requests.append((request_line.split()[1], headers, body))
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                await asyncio.sleep(self.delay)
                self.in_flight -= 1
                status, extra, content = self.answer(body)
                kind = "text/html" if isinstance(content, str) else "application/json"
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                head = {"content-type": kind, "content-length": str(len(data)), **extra}
                lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Callable[[dict[str, Any]], Answer], delay: float = 0.0) -> AsyncIterator[ChatServer]:
    chat = ChatServer(answer, delay=delay)
    server = await asyncio.start_server(chat.serve, "127.0.0.1", 0)
    chat.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield chat
    finally:
        server.close()


def completion(content: str | None, finish_reason: str = "stop") -> Answer:
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": content}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return 200, {}, {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


def echoed(body: dict[str, Any]) -> Answer:
    return completion(f"answer to {body['messages'][-1]['content']}")


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


def generate(llm: OpenAILLM) -> Generation:
    async def one() -> Generation:
        llm.load()
        await llm.aload()
        try:
            return await llm.agenerate([{"role": "user", "content": "hi"}])
        finally:
            await llm.aunload()

    return asyncio.run(one())


def generate_against(answer: Callable[[dict[str, Any]], Answer], **options: Any) -> tuple[Generation, ChatServer]:
    async def one() -> tuple[Generation, ChatServer]:
        async with serving(answer) as chat:
            llm = OpenAILLM(**({"model": "m", "base_url": chat.url} | options))
            llm.load()
            await llm.aload()
            try:
                return await llm.agenerate([{"role": "user", "content": "hi"}]), chat
            finally:
                await llm.aunload()

    return asyncio.run(one())


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


@pytest.mark.parametrize("num_generations", [1, 2])
def test_a_row_without_text_fails_and_an_empty_text_is_kept(num_generations: int) -> None:
    llm = Recorder(answers={"refused": None, "empty": ""})
    generate = step(llm=llm, num_generations=num_generations, group_generations=True)
    with pytest.raises(RowError, match=r"model 'recorder' gave no text \(finish_reason: stop\)"):
        run(generate, {"instruction": "refused"})
    row = run(generate, {"instruction": "empty"})
    assert isinstance(row, dict)
    assert row["generation"] == [""] * num_generations


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


# OpenAILLM


def test_the_endpoint_is_asked_with_the_model_the_messages_and_the_options() -> None:
    options = {"temperature": 0.2, "max_tokens": 5, "extra_body": {"top_k": 3}}
    answer, chat = generate_against(echoed, generation_kwargs=options, api_key=KEY)
    assert answer == Generation("answer to hi", "stop", input_tokens=7, output_tokens=3)
    [(path, headers, body)] = chat.requests
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.2,
        "max_tokens": 5,
        "top_k": 3,
    }


def test_the_key_comes_from_the_named_variable_and_another_endpoint_needs_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_KEY", f"{KEY}\n")
    _, chat = generate_against(echoed, api_key_env="MY_KEY")
    assert chat.requests[0][1]["authorization"] == f"Bearer {KEY}"
    _, chat = generate_against(echoed)
    assert "sk-" not in chat.requests[0][1]["authorization"]


def test_openai_itself_without_a_key_is_refused_at_load() -> None:
    with pytest.raises(UsageError, match=r"needs a key: set the environment variable MY_KEY"):
        OpenAILLM(model="m", api_key_env="MY_KEY").load()


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


def test_a_busy_endpoint_is_asked_again_after_the_time_that_it_names() -> None:
    answers = iter([(429, {"retry-after-ms": "20"}, {"error": {"message": "busy"}}), completion("at last")])
    answer, chat = generate_against(lambda _: next(answers))
    assert answer.text == "at last"
    assert len(chat.requests) == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, {}, {"error": {"message": f"bad key {KEY}"}}), r"answered 401 for model 'm': .* MY_KEY was refused"),
        ((404, {}, {"error": {"message": "no m"}}), r"answered 404 for model 'm': no such model, or base_url is wrong"),
        ((400, {}, {"error": {"message": f"too long {KEY}"}}), r"answered 400 for model 'm': .*too long"),
        ((500, {}, "<html>oops</html>"), r"answered 500 for model 'm'"),
        ((200, {}, f"<html>welcome {KEY}</html>"), r"not a chat completion \(is base_url right"),
        ((200, {}, {"error": "none"}), r"not a chat completion"),
        ((200, {}, {"choices": []}), r"not a chat completion"),
    ],
)
def test_an_error_names_endpoint_and_model_and_never_the_key(
    answer: Answer, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with pytest.raises(RowError, match=message) as caught:
        generate_against(lambda _: answer, api_key_env="MY_KEY", max_retries=0)
    assert "http://127.0.0.1:" in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_refusal_without_a_key_says_that_none_is_set() -> None:
    with pytest.raises(RowError, match="environment variable OPENAI_API_KEY is not set"):
        generate_against(lambda _: (401, {}, {}))


def test_an_endpoint_that_is_not_there_is_named_without_its_password(unused_port: int) -> None:
    llm = OpenAILLM(model="m", base_url=f"http://user:pass@127.0.0.1:{unused_port}/v1", max_retries=0)
    with pytest.raises(RowError, match=rf"cannot reach http://127\.0\.0\.1:{unused_port}/v1 for model 'm'") as caught:
        generate(llm)
    assert "pass" not in str(caught.value).replace("password", "")


def test_an_endpoint_that_is_too_slow_is_named_with_the_time() -> None:
    async def one() -> None:
        async with serving(echoed, delay=2) as chat:
            llm = OpenAILLM(model="m", base_url=chat.url, timeout=0.1, max_retries=0)
            await llm.aload()
            try:
                await llm.agenerate([{"role": "user", "content": "hi"}])
            finally:
                await llm.aunload()

    with pytest.raises(RowError, match=r"gave no answer of model 'm' within 0\.1 s"):
        asyncio.run(one())


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize("name", ["model", "messages", "n", "stream"])
def test_options_that_are_not_the_users_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=f"generation_kwargs cannot set '{name}'"):
        OpenAILLM(model="m", generation_kwargs={name: 1})


def test_an_option_that_the_client_does_not_have_is_found_at_load() -> None:
    llm = OpenAILLM(model="m", base_url="http://h/v1", generation_kwargs={"temprature": 1})
    with pytest.raises(UsageError, match=r"no option 'temprature'; did you mean 'temperature'\?.*extra_body"):
        llm.load()


def test_a_base_url_that_is_no_url_is_refused() -> None:
    with pytest.raises(ValidationError, match="base_url must be a URL"):
        OpenAILLM(model="m", base_url="localhost:8000")
