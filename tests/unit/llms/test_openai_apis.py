"""OpenAILLM by each of OpenAI's APIs, and at Azure's addresses, against endpoints that check requests as theirs do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from common.errors import UsageError
from common.llms import AzureOpenAILLM, Generation, OpenAILLM
from common.llms.calls.calling import CallFailed, NotAnAnswer, RequestRefused, WrongSetup
from common.llms.endpoint_llm import EndpointLLM
from tests.support.asking import HI, answer_of
from tests.support.servers.api_server import KEY, Refused, serving_api
from tests.support.servers.openai_server import (
    AzureServer,
    OpenAIServer,
    output_text,
    refusal,
    response,
)

APIS = ("chat", "completions", "responses")
BRIEF = [{"role": "system", "content": "Be brief."}, *HI]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT", "OPENAI_API_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)


def ask(
    server: OpenAIServer, messages: list[Any] = HI, cls: type[EndpointLLM] = OpenAILLM, **options: Any
) -> Generation:
    async def one() -> Generation:
        async with serving_api(server):
            url = server.url if isinstance(server, AzureServer) else f"{server.url}/v1"
            return await answer_of(cls(**({"model": "m", "base_url": url} | options)), messages, patience=60.0)

    return asyncio.run(one())


# each API


def test_the_first_system_messages_are_the_instructions_of_a_response() -> None:
    server = OpenAIServer()
    late = {"role": "system", "content": "Now in French."}
    ask(server, [*BRIEF, late, *HI], api="responses", generation_kwargs={"max_new_tokens": 5, "temperature": 0.5})
    assert server.asked[0].body == {
        "model": "m",
        "instructions": "Be brief.",
        "input": [*HI, late, *HI],
        "max_output_tokens": 5,
        "temperature": 0.5,
        "store": False,
    }


def test_options_of_chat_completions_find_their_place_in_a_response() -> None:
    server = OpenAIServer()
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    options = {
        "reasoning_effort": "low",
        "reasoning": {"summary": "auto"},
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": schema},
        "store": True,
    }
    ask(server, api="responses", generation_kwargs=options)
    body = server.asked[0].body
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert body["text"] == {"verbosity": "low", "format": {"type": "json_schema", **schema}}
    assert body["store"] is True


def test_a_completion_continues_the_contents_of_the_messages() -> None:
    server = OpenAIServer()
    answer = ask(server, BRIEF, api="completions", generation_kwargs={"max_new_tokens": 5, "echo": False})
    assert server.asked[0].body == {"model": "m", "prompt": "Be brief.\n\nhi", "max_tokens": 5, "echo": False}
    assert answer.text == "Be brief.\n\nhi and so on"


def test_a_completion_of_anything_but_texts_is_refused_before_it_is_sent() -> None:
    server = OpenAIServer()
    with pytest.raises(RequestRefused, match="takes texts alone"):
        ask(server, [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], api="completions")
    assert server.asked == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
def test_a_reply_is_read_alike_whole_and_streamed(api: str, stream: bool) -> None:
    text = "hi and so on" if api == "completions" else "answer to hi"
    counts = {"input_tokens": 7, "output_tokens": 3, "cached_tokens": 4, "reasoning_tokens": 2}
    server = OpenAIServer()
    assert ask(server, api=api, stream=stream) == Generation(text, "stop", model="m-1", **counts)  # type: ignore[arg-type]
    assert server.asked[0].body.get("stream", False) is stream


@pytest.mark.parametrize("api", APIS)
def test_an_endpoint_that_streams_unasked_is_understood(api: str) -> None:
    assert ask(OpenAIServer(always_streams=True), api=api).text == ask(OpenAIServer(), api=api).text


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_calls_and_refusals_of_a_response_are_told_apart(stream: bool) -> None:
    def given(*items: dict[str, Any]) -> Generation:
        server = OpenAIServer()
        server.script.append(response(*items))
        return ask(server, api="responses", stream=stream)

    summary = [{"type": "summary_text", "text": "Six times"}, {"type": "summary_text", "text": "seven."}]
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "sum", "arguments": '{"of": [6]}'}
    answer = given({"type": "reasoning", "summary": summary}, output_text("Forty-two."), call)
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("Forty-two.", "Six times\nseven.", "tool_calls")
    function = {"name": "sum", "arguments": '{"of": [6]}'}
    assert answer.tool_calls == [{"id": "call_1", "type": "function", "function": function}]
    thought = [{"type": "reasoning_text", "text": "In full."}]
    assert given({"type": "reasoning", "summary": summary, "content": thought}).reasoning == "In full."
    refused = {"type": "message", "content": [{"type": "refusal", "refusal": "I would rather not."}]}
    answer = given(refused)
    assert (answer.text, answer.refusal) == (None, "I would rather not.")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), ("", "incomplete")],
)
def test_an_incomplete_response_says_why(reason: str, finish: str, stream: bool) -> None:
    server = OpenAIServer()
    server.script.append(response(output_text("Forty"), status="incomplete", reason=reason))
    answer = ask(server, api="responses", stream=stream)
    assert (answer.text, answer.finish_reason) == ("Forty", finish)


def test_a_conversation_with_tools_is_a_list_of_items() -> None:
    server = OpenAIServer()
    call = {"id": "call_1", "type": "function", "function": {"name": "sum", "arguments": "{}"}}
    answered = {"role": "tool", "tool_call_id": "call_1", "content": "42"}
    ask(server, [*HI, {"role": "assistant", "content": None, "tool_calls": [call]}, answered, *HI], api="responses")
    assert server.asked[0].body["input"][1:3] == [
        {"type": "function_call", "call_id": "call_1", "name": "sum", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "42"},
    ]


def test_tools_of_chat_completions_are_sent_as_responses_have_them_and_others_as_they_are() -> None:
    function = {"name": "sum", "description": "Adds.", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": function}, {"type": "web_search"}]
    choice = {"type": "function", "function": {"name": "sum"}}
    server = OpenAIServer()
    ask(server, api="responses", generation_kwargs={"tools": tools, "tool_choice": choice})
    body = server.asked[0].body
    assert body["tools"] == [{"type": "function", "strict": False, **function}, {"type": "web_search"}]
    assert body["tool_choice"] == {"type": "function", "name": "sum"}
    ask(server, api="chat", generation_kwargs={"tools": tools, "tool_choice": "auto"})
    assert (server.asked[1].body["tools"], server.asked[1].body["tool_choice"]) == (tools, "auto")


@pytest.mark.parametrize(
    ("api", "option", "message"),
    [
        ("responses", "stop", "no option 'stop'"),
        ("responses", "seed", "no option 'seed'"),
        ("completions", "tools", "no option 'tools'"),
        ("chat", "echo", "no option 'echo'"),
    ],
)
def test_options_are_those_of_the_api(api: str, option: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        OpenAILLM(model="m", base_url="http://h/v1", api=api, generation_kwargs={option: 1}).load()


def test_openai_itself_has_another_name_for_the_limit_in_chat_completions_alone() -> None:
    def sent(api: Any) -> dict[str, Any]:
        llm = OpenAILLM(model="m", provider="openai", api=api, generation_kwargs={"max_tokens": 5})
        _, request = llm.asks([{"role": "user", "content": "hi"}])
        return {name: value for name, value in request.items() if name.startswith("max")}

    assert sent("chat") == {"max_completion_tokens": 5}
    assert sent("completions") == {"max_tokens": 5}
    assert sent("responses") == {"max_output_tokens": 5}


def test_another_api_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ValidationError, match="'chat', 'completions' or 'responses'"):
        OpenAILLM(model="m", api="assistants")


# errors


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (refusal(400, f"too long {KEY}", code="context_length_exceeded"), RequestRefused, "400: too long"),
        (refusal(429, "You exceeded your quota", code="insufficient_quota"), WrongSetup, "no credit or quota"),
        (refusal(400, "no", code="unsupported_parameter"), WrongSetup, "see generation_kwargs"),
        (Refused(200, f"<html>{KEY}</html>"), NotAnAnswer, "not JSON"),
        (Refused(200, {"id": "1"}), NotAnAnswer, "not an answer of its API"),
    ],
)
def test_an_error_is_classed_and_never_shows_the_key(
    api: str, answer: Refused, kind: type[Exception], message: str
) -> None:
    server = OpenAIServer()
    server.script.append(answer)
    with pytest.raises(kind, match=message) as caught:
        ask(server, api=api)
    assert server.url in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("api", APIS)
def test_a_wrong_key_halts_the_run_and_is_not_shown(api: str) -> None:
    wrong = "sk-another-1234567890"
    with pytest.raises(WrongSetup, match=r"check the key in the environment variable OPENAI_API_KEY") as caught:
        ask(OpenAIServer(), api=api, api_key=wrong)
    assert wrong not in str(caught.value)


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_that_is_malformed_inside_is_no_answer(stream: bool) -> None:
    server = OpenAIServer()
    server.script.append(response({"type": "message", "content": [{"type": "output_text", "text": 3}]}))
    with pytest.raises(NotAnAnswer, match="not an answer of its API"):
        ask(server, api="responses", stream=stream)


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_that_failed_is_classed_by_its_code(stream: bool) -> None:
    def failed(code: str) -> dict[str, Any]:
        return response(status="failed", error={"code": code, "message": f"it failed {KEY}"})

    server = OpenAIServer()
    server.script.append(failed("invalid_prompt"))
    with pytest.raises(RequestRefused, match=r"400: it failed \*\*\*"):
        ask(server, api="responses", stream=stream)
    server = OpenAIServer()
    server.script += [failed("server_error"), response(output_text("at last"))]
    assert ask(server, api="responses", stream=stream).text == "at last"
    server = OpenAIServer()
    server.script += [failed("rate_limit_exceeded"), response(output_text("at last"))]
    assert ask(server, api="responses", stream=stream).text == "at last"


@pytest.mark.parametrize(
    ("api", "error"),
    [
        ("chat", {"error": {"code": 502, "message": "Provider returned error"}, "choices": []}),
        ("completions", {"error": {"type": "server_error", "message": "The server had an error"}}),
        ("responses", {"type": "error", "code": "server_error", "message": "The server had an error"}),
    ],
)
def test_an_error_in_a_stream_is_taken_for_the_endpoints(api: str, error: dict[str, Any]) -> None:
    server = OpenAIServer()
    server.script.append(error)
    assert ask(server, api=api, stream=True).text in ("answer to hi", "hi and so on")
    assert len(server.asked) == 2


def test_an_error_in_every_stream_of_a_row_is_its_own() -> None:
    server = OpenAIServer()
    server.script += [{"error": {"code": 502, "message": "Provider returned error"}}] * 5
    with pytest.raises(CallFailed, match="502: Provider returned error"):
        ask(server, stream=True)


@pytest.mark.parametrize(("api", "before_the_end"), [("chat", 2), ("completions", 2), ("responses", 4)])
def test_a_stream_that_ends_before_its_end_is_no_answer(api: str, before_the_end: int) -> None:
    for sent in range(before_the_end + 1):
        with pytest.raises(NotAnAnswer, match="the stream ended before the answer did"):
            ask(OpenAIServer(events_sent=sent), api=api, stream=True)


def test_a_connection_that_breaks_in_a_stream_fails_the_row_in_the_end() -> None:
    server = OpenAIServer(events_sent=2, breaks=True)
    with pytest.raises(CallFailed):
        ask(server, stream=True)
    assert len(server.asked) == 5


# AzureOpenAILLM


@pytest.mark.parametrize("suffix", ["", "/", "/openai", "/openai/v1/"])
@pytest.mark.parametrize(
    ("api", "version", "path"),
    [
        ("chat", "2024-10-21", "/openai/deployments/m/chat/completions"),
        ("completions", "2024-10-21", "/openai/deployments/m/completions"),
        ("responses", "2025-04-01-preview", "/openai/responses"),
        ("chat", None, "/openai/v1/chat/completions"),
        ("responses", None, "/openai/v1/responses"),
    ],
)
def test_azure_is_asked_at_its_own_addresses(api: str, version: str | None, path: str, suffix: str) -> None:
    async def one() -> AzureServer:
        async with serving_api(AzureServer()) as server:
            llm = AzureOpenAILLM(model="m", base_url=server.url + suffix, api=api, api_version=version)  # type: ignore[arg-type]
            await answer_of(llm)
            return server

    [asked] = asyncio.run(one()).asked
    assert asked.path == path
    assert asked.query == ({"api-version": version} if version else {})
    assert asked.headers["api-key"] == KEY
    assert "authorization" not in asked.headers


def test_azures_endpoint_version_and_key_come_from_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    async def one() -> AzureServer:
        async with serving_api(AzureServer(deployments=("mine",))) as server:
            monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.url)
            monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
            llm = AzureOpenAILLM(model="gpt-x", deployment="mine")
            assert llm.served_at == server.url
            assert (await answer_of(llm)).text == "answer to hi"
            return server

    [asked] = asyncio.run(one()).asked
    assert asked.query == {"api-version": "2024-10-21"}
    assert asked.body["model"] == "mine"


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("2024-10-21", "max_tokens"),
        ("2024-12-01-preview", "max_completion_tokens"),
        (None, "max_completion_tokens"),
    ],
)
def test_azure_calls_the_limit_what_its_version_does(version: str | None, name: str) -> None:
    server = AzureServer()
    ask(server, cls=AzureOpenAILLM, api_version=version, generation_kwargs={"max_new_tokens": 5})
    assert server.asked[0].body[name] == 5


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            Refused(400, {"error": {"code": "content_filter", "message": "The response was filtered", "status": 400}}),
            RequestRefused,
            "filtered",
        ),
        (
            Refused(401, {"error": {"code": "401", "message": f"Access denied due to invalid key {KEY}"}}),
            WrongSetup,
            "AZURE_OPENAI_API_KEY",
        ),
    ],
)
def test_an_error_of_azure_is_classed(error: Refused, kind: type[Exception], message: str) -> None:
    server = AzureServer()
    server.script.append(error)
    with pytest.raises(kind, match=message) as caught:
        ask(server, cls=AzureOpenAILLM)
    assert KEY not in str(caught.value)


def test_a_deployment_that_does_not_exist_halts_the_run() -> None:
    with pytest.raises(WrongSetup, match="404: The API deployment"):
        ask(AzureServer(), cls=AzureOpenAILLM, api_version="2024-10-21", deployment="other")


def test_azures_limit_of_tokens_is_waited_for() -> None:
    server = AzureServer()
    words = "Requests have exceeded the token rate limit of your pricing tier. See https://aka.ms/oai/quotaincrease"
    server.script.append(Refused(429, {"error": {"code": "429", "message": words}}, {"retry-after-ms": "20"}))
    assert ask(server, cls=AzureOpenAILLM).text == "answer to hi"


def test_azure_without_an_endpoint_or_with_a_provider_is_a_mistake() -> None:
    with pytest.raises(
        UsageError, match=r"no endpoint: set base_url, or the environment variable AZURE_OPENAI_ENDPOINT"
    ):
        AzureOpenAILLM(model="m").load()
    with pytest.raises(ValidationError, match="an Azure endpoint is no provider"):
        AzureOpenAILLM(model="m", provider="groq")


def test_azure_without_a_key_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_OPENAI_API_KEY")
    with pytest.raises(UsageError, match="needs a key: set the environment variable AZURE_OPENAI_API_KEY"):
        AzureOpenAILLM(model="m", base_url="https://h.openai.azure.com").load()
