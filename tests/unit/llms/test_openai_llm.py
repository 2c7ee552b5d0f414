"""The OpenAI client, against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from common.errors import UsageError
from common.llms import Generation, OpenAILLM
from common.llms.calls.calling import CallFailed, NotAnAnswer, RequestRefused, WrongSetup
from common.llms.calls.gate import EndpointAway
from common.llms.waiting import RowClock, use_clock
from tests.support.servers.chat_server import Answer, ChatServer, completion, echoed, serving

KEY = "sk-secret-1234567890"


@pytest.fixture(autouse=True)
def _no_endpoint_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


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


# OpenAILLM


def test_the_endpoint_is_asked_with_the_model_the_messages_and_the_options() -> None:
    options = {"temperature": 0.2, "max_tokens": 5, "extra_body": {"top_k": 3}}
    answer, chat = generate_against(echoed, generation_kwargs=options, api_key=KEY)
    assert answer == Generation("answer to hi", "stop", input_tokens=7, output_tokens=3, model="m")
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


def test_an_endpoint_that_answers_a_stream_in_one_piece_is_understood() -> None:
    answer, chat = generate_against(echoed, stream=True)
    assert answer.text == "answer to hi"
    assert chat.requests[0][2]["stream"] is True


def test_openai_itself_without_a_key_is_refused_at_load() -> None:
    with pytest.raises(UsageError, match=r"needs a key: set the environment variable MY_KEY"):
        OpenAILLM(model="m", api_key_env="MY_KEY").load()


def test_a_busy_endpoint_is_asked_again_after_the_time_that_it_names() -> None:
    answers = iter([(429, {"retry-after-ms": "20"}, {"error": {"message": "busy"}}), completion("at last")])
    answer, chat = generate_against(lambda _: next(answers))
    assert answer.text == "at last"
    assert len(chat.requests) == 2


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (
            (401, {}, {"error": {"message": f"bad key {KEY}"}}),
            WrongSetup,
            r"answered model 'm': 401: bad key \*\*\*; check the key in the environment variable MY_KEY",
        ),
        ((404, {}, {"error": {"message": "no m"}}), WrongSetup, r"answered model 'm': 404: no m; no such model, or"),
        ((400, {}, {"error": {"message": f"too long {KEY}"}}), RequestRefused, r"answered model 'm': 400: .*too long"),
        ((200, {}, f"<html>welcome {KEY}</html>"), NotAnAnswer, r"not JSON \(is base_url right\?\)"),
        ((200, {}, {"error": "none"}), NotAnAnswer, r"not an answer of its API"),
        ((200, {}, {"choices": []}), NotAnAnswer, r"not an answer of its API"),
    ],
)
def test_an_error_names_endpoint_and_model_and_never_the_key(
    answer: Answer, kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with pytest.raises(kind, match=message) as caught:
        generate_against(lambda _: answer, api_key_env="MY_KEY")
    assert "http://127.0.0.1:" in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_refusal_without_a_key_says_that_none_is_set() -> None:
    with pytest.raises(WrongSetup, match=r"set the environment variable OPENAI_API_KEY .* it holds no key"):
        generate_against(lambda _: (401, {}, {}))


def test_an_endpoint_that_is_not_there_is_named_without_its_password(unused_port: int) -> None:
    async def one() -> None:
        use_clock(RowClock(patience=0.1))
        await llm.aload()
        try:
            await llm.agenerate([{"role": "user", "content": "hi"}])
        finally:
            await llm.aunload()

    llm = OpenAILLM(model="m", base_url=f"http://user:pass@127.0.0.1:{unused_port}/v1")
    with pytest.raises(
        EndpointAway, match=rf"cannot reach http://127\.0\.0\.1:{unused_port}/v1 .*: connection refused"
    ) as caught:
        asyncio.run(one())
    assert "pass" not in str(caught.value)


def test_a_call_that_takes_longer_than_its_timeout_is_the_fault_of_its_row_in_the_end() -> None:
    async def one() -> None:
        async with serving(echoed, delay=2) as chat:
            llm = OpenAILLM(model="m", base_url=chat.url, timeout=0.01)
            await llm.aload()
            try:
                await llm.agenerate([{"role": "user", "content": "hi"}])
            finally:
                await llm.aunload()

    with pytest.raises(CallFailed, match=r"no answer within 0\.01 s \(timeout\)"):
        asyncio.run(one())


def test_a_row_whose_connection_broke_before_is_not_blamed_when_the_endpoint_dies() -> None:
    asked: list[str] = []

    def answer(body: dict[str, Any]) -> Answer:
        asked.append(body["messages"][-1]["content"])
        if asked[-1] == "other":
            return echoed(body)
        if asked.count("row") == 2:
            server.close()
        raise ConnectionError

    async def ask(llm: OpenAILLM, text: str) -> None:
        use_clock(RowClock(patience=0.5))
        await llm.agenerate([{"role": "user", "content": text}])

    async def both() -> None:
        nonlocal server
        server = await asyncio.start_server(ChatServer(answer).serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        llm = OpenAILLM(model="m", base_url=f"http://127.0.0.1:{port}/v1")
        await llm.aload()
        row = asyncio.create_task(ask(llm, "row"))
        while not asked:
            await asyncio.sleep(0)
        await asyncio.create_task(ask(llm, "other"))
        try:
            await row
        finally:
            await llm.aunload()

    server: asyncio.Server
    with pytest.raises(EndpointAway):
        asyncio.run(both())
    assert asked == ["row", "other", "row"]


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
