"""AnthropicLLM, against a Messages API on loopback that checks requests as Anthropic's does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.errors import UsageError
from common.llms import AnthropicLLM, Generation
from common.llms.calls.calling import CallFailed, NotAnAnswer, RequestRefused, WrongSetup
from common.llms.calls.gate import EndpointAway
from tests.support.asking import HI, answer_of
from tests.support.servers.anthropic_server import AnthropicServer, refusal, said
from tests.support.servers.api_server import KEY, Refused, serving_api

TEXT = {"type": "text", "text": "Forty-two."}
THINKING = {"type": "thinking", "thinking": "Six times seven."}
USE = {"type": "tool_use", "id": "toolu_1", "name": "sum", "input": {"of": [6, 7]}}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


def ask(server: AnthropicServer, messages: list[Any] = HI, patience: float | None = None, **options: Any) -> Generation:
    async def one() -> Generation:
        async with serving_api(server):
            llm = AnthropicLLM(**({"model": "claude-x", "base_url": server.url} | options))
            return await answer_of(llm, messages, patience)

    return asyncio.run(one())


def test_the_system_prompt_goes_apart_and_a_limit_is_always_sent() -> None:
    server = AnthropicServer()
    messages = [{"role": "system", "content": "Be brief."}, {"role": "system", "content": "Be kind."}, *HI]
    answer = ask(server, messages, generation_kwargs={"temperature": 0.2, "stop": "END"})
    assert answer.text == "answer to hi"
    assert server.asked[0].body == {
        "model": "claude-x",
        "system": "Be brief.\n\nBe kind.",
        "messages": HI,
        "max_tokens": 4096,
        "temperature": 0.2,
        "stop_sequences": ["END"],
    }


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"max_tokens": 9}, 9),
        ({"max_tokens": 9, "generation_kwargs": {"max_tokens": 5}}, 5),
        ({"generation_kwargs": {"max_new_tokens": 6}}, 6),
    ],
)
def test_the_limit_of_an_answer_is_a_field_and_an_option_under_distilabels_name_too(
    options: dict[str, Any], sent: int
) -> None:
    server = AnthropicServer()
    ask(server, **options)
    assert server.asked[0].body["max_tokens"] == sent


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_the_endpoint_is_given_with_or_without_its_version(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def one() -> Generation:
        async with serving_api(AnthropicServer()) as server:
            monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url + suffix)
            return await answer_of(AnthropicLLM(model="claude-x"))

    assert asyncio.run(one()).text == "answer to hi"


@pytest.mark.parametrize("stream", [False, True])
def test_thinking_text_calls_and_tokens_are_read_alike_whole_and_streamed(stream: bool) -> None:
    server = AnthropicServer()
    server.script.append(said(THINKING, TEXT, USE, stop_reason="tool_use"))
    function = {"name": "sum", "arguments": '{"of":[6,7]}'}
    assert ask(server, stream=stream) == Generation(
        text="Forty-two.",
        finish_reason="tool_calls",
        input_tokens=17,
        output_tokens=3,
        reasoning="Six times seven.",
        model="claude-x",
        cached_tokens=5,
        tool_calls=[{"id": "toolu_1", "type": "function", "function": function}],
    )
    assert server.asked[0].body.get("stream", False) is stream


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "pause_turn"),
    ],
)
def test_a_stop_reason_is_told_in_the_words_of_the_other_apis(theirs: str, ours: str) -> None:
    server = AnthropicServer()
    server.script.append(said(TEXT, stop_reason=theirs))
    assert ask(server).finish_reason == ours


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_says_why(stream: bool) -> None:
    server = AnthropicServer()
    details = {"type": "refusal", "category": "cyber", "explanation": "It may do harm."}
    server.script.append(said(stop_reason="refusal", stop_details=details))
    answer = ask(server, stream=stream)
    assert (answer.text, answer.finish_reason, answer.refusal) == (None, "content_filter", "It may do harm.")


def test_a_conversation_with_tools_is_sent_in_blocks() -> None:
    server = AnthropicServer()
    call = {"id": "toolu_1", "type": "function", "function": {"name": "sum", "arguments": '{"of": [6, 7]}'}}
    messages = [
        *HI,
        {"role": "assistant", "content": "One moment.", "tool_calls": [call], "name": "me"},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "42"},
    ]
    ask(server, messages)
    assert server.asked[0].body["messages"][1:] == [
        {"role": "assistant", "content": [{"type": "text", "text": "One moment."}, USE]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"}]},
    ]


def test_the_results_of_calls_that_were_made_together_are_one_turn() -> None:
    server = AnthropicServer()
    function = {"name": "sum", "arguments": "{}"}
    calls = [{"id": name, "type": "function", "function": function} for name in ("one", "two")]
    results: list[Any] = [{"role": "tool", "tool_call_id": name, "content": "42"} for name in ("one", "two")]
    ask(server, [*HI, {"role": "assistant", "content": None, "tool_calls": calls}, *results, *HI])
    blocks = [{"type": "tool_result", "tool_use_id": name, "content": "42"} for name in ("one", "two")]
    assert server.asked[0].body["messages"][2:] == [{"role": "user", "content": blocks}, *HI]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "sum"}}, {"type": "tool", "name": "sum"}),
        ({"type": "any"}, {"type": "any"}),
    ],
)
def test_tools_of_chat_completions_are_sent_as_the_api_has_them(choice: Any, sent: Any) -> None:
    server = AnthropicServer()
    schema = {"type": "object", "properties": {"of": {"type": "array"}}}
    own = {"type": "bash_20250124", "name": "bash"}
    tools = [{"type": "function", "function": {"name": "sum", "description": "Adds.", "parameters": schema}}, own]
    ask(server, generation_kwargs={"tools": tools, "tool_choice": choice})
    body = server.asked[0].body
    assert body["tools"] == [{"name": "sum", "description": "Adds.", "input_schema": schema}, own]
    assert body["tool_choice"] == sent


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("model", "is_told"),
    [
        ("claude-sonnet-5", True),
        ("claude-opus-4-5-20251101", True),
        ("anthropic/claude-sonnet-4.6", True),
        ("claude-opus-4-1-20250805", False),
        ("claude-sonnet-4-20250514", False),
        ("claude-3-7-sonnet-latest", False),
        ("my-model", False),
    ],
)
def test_newer_models_are_told_the_form_and_others_must_call_a_tool(model: str, is_told: bool) -> None:
    server = AnthropicServer(models={model})
    block = {"type": "text", "text": '{"a":1}'} if is_told else {**USE, "name": "answer", "input": {"a": 1}}
    server.script.append(said(block))
    assert ask(server, model=model, structured_output={"schema": SCHEMA}).text == '{"a":1}'
    body = server.asked[0].body
    schema = {**SCHEMA, "additionalProperties": False}
    told = {"format": {"type": "json_schema", "schema": schema}} if is_told else None
    assert (body.get("output_config"), "tools" in body) == (told, not is_told)


def test_a_form_goes_together_with_effort_and_thinking_and_not_with_another_form() -> None:
    def llm(**options: Any) -> AnthropicLLM:
        return AnthropicLLM(model="claude-sonnet-5", structured_output={"schema": SCHEMA}, generation_kwargs=options)

    options = {"output_config": {"effort": "low"}, "thinking": {"type": "adaptive"}}
    llm(**options).load()
    request = llm(**options).asks(HI)[1]
    assert request["output_config"].keys() == {"effort", "format"}
    assert request["thinking"] == {"type": "adaptive"}
    with pytest.raises(UsageError, match="cannot set 'output_config' beside structured_output"):
        llm(output_config={"format": {}}).load()


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (
            refusal(400, "invalid_request_error", f"prompt is too long: 210000 tokens > 200000 maximum {KEY}"),
            RequestRefused,
            r"400: prompt is too long",
        ),
        (refusal(413, "request_too_large", "Request exceeds the maximum size"), RequestRefused, "413"),
        (
            refusal(400, "invalid_request_error", "Output blocked by content filtering policy"),
            RequestRefused,
            "blocked",
        ),
        (
            refusal(400, "invalid_request_error", "max_tokens: 9000 > 4096, which is the maximum allowed number"),
            WrongSetup,
            "see generation_kwargs",
        ),
        (
            refusal(400, "invalid_request_error", "You have reached your specified API usage limits."),
            WrongSetup,
            "no credit or quota",
        ),
        (
            refusal(400, "invalid_request_error", "Your credit balance is too low to access the API"),
            WrongSetup,
            "no credit",
        ),
        (refusal(403, "permission_error", f"Your API key {KEY} may not"), WrongSetup, "ANTHROPIC_API_KEY, and what"),
        (Refused(200, {"type": "message"}), NotAnAnswer, "no list of content"),
        (Refused(200, f"<html>{KEY}</html>"), NotAnAnswer, "not JSON"),
    ],
)
def test_an_error_is_classed_and_never_shows_the_key(answer: Refused, kind: type[Exception], message: str) -> None:
    server = AnthropicServer()
    server.script.append(answer)
    with pytest.raises(kind, match=message) as caught:
        ask(server)
    assert server.url in str(caught.value)
    assert KEY not in str(caught.value)
    assert len(server.asked) == 1


def test_a_wrong_key_an_unknown_model_and_an_unknown_option_halt_the_run() -> None:
    with pytest.raises(WrongSetup, match=r"401: invalid x-api-key: \*\*\*; check the key in .* ANTHROPIC_API_KEY"):
        ask(AnthropicServer(), api_key="sk-another-1234567890")
    with pytest.raises(WrongSetup, match=r"404: model: claude-y; no such model"):
        ask(AnthropicServer(), model="claude-y")
    with pytest.raises(WrongSetup, match=r"seed: Extra inputs are not permitted"):
        ask(AnthropicServer(), generation_kwargs={"extra_body": {"seed": 1}})
    with pytest.raises(UsageError, match="no option 'seed'"):
        AnthropicLLM(model="claude-x", generation_kwargs={"seed": 1}).load()


def test_without_a_key_anthropic_itself_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(UsageError, match="needs a key: set the environment variable ANTHROPIC_API_KEY"):
        AnthropicLLM(model="claude-x").load()


OVERLOADED = {"type": "overloaded_error", "message": "Overloaded"}


def test_an_overloaded_endpoint_is_waited_for_whether_it_says_so_at_once_or_in_a_stream() -> None:
    server = AnthropicServer()
    server.script += [Refused(529, {"type": "error", "error": OVERLOADED}), said(TEXT)]
    assert ask(server, patience=5.0).text == "Forty-two."
    server = AnthropicServer()
    server.script += [{"type": "error", "error": OVERLOADED}, said(TEXT)]
    assert ask(server, patience=5.0, stream=True).text == "Forty-two."
    server = AnthropicServer()
    server.script += [Refused(529, {"type": "error", "error": OVERLOADED})] * 9
    with pytest.raises(EndpointAway, match="529: Overloaded"):
        ask(server, patience=0.1)


def test_a_limit_of_requests_is_kept_to() -> None:
    server = AnthropicServer()
    busy = {"type": "error", "error": {"type": "rate_limit_error", "message": "too many"}}
    server.script += [Refused(429, busy, {"retry-after": "0.02"})]
    assert ask(server).text == "answer to hi"
    assert len(server.asked) == 2


def test_a_stream_that_ends_before_its_end_is_no_answer() -> None:
    for sent in range(1, 7):
        server = AnthropicServer(events_sent=sent)
        with pytest.raises(NotAnAnswer, match="the stream ended before the answer did"):
            ask(server, stream=True)


def test_a_connection_that_breaks_in_a_stream_is_tried_again_and_then_the_rows() -> None:
    server = AnthropicServer(events_sent=3, breaks=True)
    with pytest.raises(CallFailed):
        ask(server, stream=True, patience=60.0)
    assert len(server.asked) == 5
