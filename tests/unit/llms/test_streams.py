"""Streams of each API, as a property: the whole answer or an error, wherever they are cut, never a part of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.llms.apis.anthropic_messages import AnthropicMessages
from common.llms.apis.api import Api
from common.llms.apis.chat_completions import ChatCompletions
from common.llms.apis.completions import Completions
from common.llms.apis.responses import Responses
from common.llms.calls.calling import MALFORMED
from tests.support.servers.anthropic_server import AnthropicServer, said
from tests.support.servers.api_server import ApiServer
from tests.support.servers.openai_server import DETAILS, USAGE, OpenAIServer, output_text, response

HEAD = {"id": "1", "model": "m-1", "usage": {**USAGE, **DETAILS}}
texts = st.text(min_size=1, max_size=60)
inputs = st.dictionaries(
    st.text(max_size=5), st.integers(-(2**53), 2**53) | st.text(max_size=5), min_size=1, max_size=3
)


@st.composite
def chats(draw: st.DrawFn) -> dict[str, Any]:
    message = {"role": "assistant", "content": draw(texts)}
    return {
        **HEAD,
        "choices": [{"index": 0, "message": message, "finish_reason": draw(st.sampled_from(["stop", "length"]))}],
    }


@st.composite
def completions(draw: st.DrawFn) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "text": draw(texts), "finish_reason": "stop"}]}


@st.composite
def responses(draw: st.DrawFn) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text} for text in draw(st.lists(texts, max_size=2))]
    status = draw(st.sampled_from([("completed", ""), ("incomplete", "max_output_tokens")]))
    items = [{"type": "reasoning", "summary": summary}, output_text(draw(texts))]
    return response(*items, status=status[0], reason=status[1])


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": text} for text in draw(st.lists(texts, max_size=2))
    ]
    blocks += [{"type": "text", "text": text} for text in draw(st.lists(texts, min_size=1, max_size=2))]
    blocks += [
        {"type": "tool_use", "id": "t", "name": "f", "input": given} for given in draw(st.lists(inputs, max_size=2))
    ]
    return said(*blocks, stop_reason=draw(st.sampled_from(["end_turn", "max_tokens", "tool_use"])))


APIS = [
    (ChatCompletions(), OpenAIServer(), chats()),
    (Completions(), OpenAIServer(), completions()),
    (Responses(), OpenAIServer(), responses()),
    (AnthropicMessages(), AnthropicServer(), messages()),
]


@pytest.mark.parametrize(("api", "server", "replies"), APIS, ids=lambda each: type(each).__name__)
def test_a_stream_gives_the_answer_of_the_whole_reply_or_none(
    api: Api, server: ApiServer, replies: st.SearchStrategy[dict[str, Any]]
) -> None:
    @given(replies, st.floats(0, 1), st.booleans())
    def holds(reply: dict[str, Any], part: float, windows: bool) -> None:
        body = b"".join(event.encode() for event in server.events(reply))
        body = body.replace(b"\n", b"\r\n") if windows else body
        whole = api.generation(reply)
        assert api.generation(api.assembled(body)) == whole
        try:
            cut = api.generation(api.assembled(body[: int(part * len(body))]))
        except ValueError:
            return
        assert (cut.text, cut.finish_reason, cut.tool_calls) == (whole.text, whole.finish_reason, whole.tool_calls)

    holds()


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2)
)


def _spoiled(draw: st.DrawFn, value: Any) -> Any:
    """The reply with one part of it, at any depth, replaced by something else."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 4)) == 0:
        return draw(JUNK)
    key = draw(st.sampled_from(sorted(value))) if isinstance(value, dict) else draw(st.integers(0, len(value) - 1))
    changed: Any = dict(value) if isinstance(value, dict) else list(value)
    changed[key] = _spoiled(draw, value[key])
    return changed


@pytest.mark.parametrize(("api", "server", "replies"), APIS, ids=lambda each: type(each).__name__)
def test_a_reply_with_a_part_of_another_shape_is_read_or_malformed(
    api: Api, server: ApiServer, replies: st.SearchStrategy[dict[str, Any]]
) -> None:
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        reply = data.draw(replies)
        try:
            answer = api.generation(_spoiled(data.draw, reply))
        except MALFORMED:
            return
        assert answer.text is None or isinstance(answer.text, str)
        assert all(count is None or count >= 0 for count in (answer.input_tokens, answer.output_tokens))

    holds()


def test_what_groq_says_in_its_own_field_of_a_stream_is_read() -> None:
    def stream(*last: dict[str, Any]) -> bytes:
        first = {"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"content": "hi"}}], "x_groq": {"id": "r"}}
        lines = [b"data: " + orjson.dumps(event) for event in (first, *last)]
        return b"\n\n".join([*lines, b"data: [DONE]", b""])

    api = ChatCompletions()
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x_groq": {"id": "r", "usage": USAGE}}
    answer = api.generation(api.assembled(stream(end)))
    assert (answer.text, answer.input_tokens, answer.output_tokens) == ("hi", 7, 3)
    broken = api.assembled(stream({"choices": [], "x_groq": {"error": "over capacity"}}))
    assert api.error(broken).message == "over capacity"
