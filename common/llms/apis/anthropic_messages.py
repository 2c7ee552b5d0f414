"""Anthropic's Messages API.

Source: the API reference of Anthropic ("Messages", "Streaming messages", "Stop reasons", "Errors").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from common.llms.apis.api import apart_from_extra
from common.llms.apis.chat_completions import ChatCompletions, count
from common.llms.apis.events import events
from common.llms.apis.tools import anthropic_tools
from common.llms.base import ChatMessage, Generation
from common.llms.calls.verdicts import ErrorReply
from common.llms.media.translation import anthropic_content

VERSION = "2023-06-01"

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Its `stop_reason` in the words of the other APIs; others stay as they are."""
_PIECES = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
"""Piece of a streamed block -> the field of the block that it belongs to."""


class AnthropicMessages:
    """`POST /messages`."""

    path = "/messages"
    options = frozenset(
        {
            *("cache_control", "container", "context_management", "extra_body", "inference_geo", "max_tokens"),
            *("mcp_servers", "metadata", "output_config", "service_tier", "speed", "stop_sequences", "temperature"),
            *("thinking", "tool_choice", "tools", "top_k", "top_p"),
        }
    )
    spellings: Mapping[str, str] = {
        "max_new_tokens": "max_tokens",
        "max_completion_tokens": "max_tokens",
        "stop": "stop_sequences",
    }

    def request(self, model: str, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> dict[str, Any]:
        """See `Api`. Several system messages become one; calls and results of tools become blocks."""
        named, extra = apart_from_extra(options)
        named = anthropic_tools(named)
        if isinstance(stops := named.get("stop_sequences"), str):
            named["stop_sequences"] = [stops]
        system = [message["content"] for message in messages if message["role"] in _SYSTEM_ROLES]
        turns: list[dict[str, Any]] = []
        for message in messages:
            if message["role"] not in _SYSTEM_ROLES:
                _add_turn(turns, message)
        return {"model": model, "messages": turns, **({"system": _joined(system)} if system else {}), **named, **extra}

    def generation(self, reply: Any) -> Generation:
        """See `Api`. The prompt's tokens are all of them, whether from the cache or not."""
        try:
            blocks = [block for block in reply["content"] if isinstance(block, dict)]
            reason, usage = reply.get("stop_reason"), reply.get("usage") or {}
        except (KeyError, TypeError, AttributeError):
            raise ValueError("it has no list of content") from None
        texts = [block.get("text") or "" for block in blocks if block.get("type") == "text"]
        thoughts = [block.get("thinking") or "" for block in blocks if block.get("type") == "thinking"]
        calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
        details = reply.get("stop_details") or {}
        refusal = details.get("explanation") or "it gives no reason" if reason == "refusal" else None
        return Generation(
            text="".join(texts) if texts else None,
            finish_reason=_FINISH_REASONS.get(reason, reason),
            input_tokens=_all_of(usage, "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
            output_tokens=count(usage.get("output_tokens")),
            reasoning="\n".join(filter(None, thoughts)) or None,
            refusal=refusal,
            model=reply.get("model"),
            cached_tokens=count(usage.get("cache_read_input_tokens")),
            tool_calls=calls or None,
        )

    def headers(self, key: str) -> dict[str, str]:
        """See `Api`."""
        return {"x-api-key": key, "anthropic-version": VERSION}

    def error(self, reply: Any) -> ErrorReply:
        """See `Api`. It has the fields of OpenAI's."""
        return ChatCompletions().error(reply)

    def assembled(self, body: bytes) -> Any:
        """See `Api`."""
        reply: dict[str, Any] = {}
        blocks: dict[int, dict[str, Any]] = {}
        has_ended = False
        for event in events(body):
            kind = event.get("type")
            if kind == "error":
                return event
            if kind == "message_start":
                reply = dict(event["message"])
            elif kind == "content_block_start":
                blocks[event["index"]] = dict(event["content_block"])
            elif kind == "content_block_delta":
                _add(blocks.setdefault(event["index"], {}), event.get("delta") or {})
            elif kind == "message_delta":
                reply.update(event.get("delta") or {})
                counts = {name: count for name, count in (event.get("usage") or {}).items() if count is not None}
                reply["usage"] = {**(reply.get("usage") or {}), **counts}  # they are totals
            has_ended = has_ended or kind == "message_stop"
        if not has_ended:
            raise ValueError("the stream ended before the answer did")
        return {**reply, "content": [_whole(blocks[index]) for index in sorted(blocks)]}


_SYSTEM_ROLES = ("system", "developer")


def _joined(contents: Sequence[Any]) -> Any:
    """One system prompt: a text, or a list of blocks if one of them is a list."""
    if all(isinstance(content, str) for content in contents):
        return "\n\n".join(contents)
    blocks = [[{"type": "text", "text": each}] if isinstance(each, str) else each for each in contents]
    return [block for each in blocks for block in each]


def _add_turn(turns: list[dict[str, Any]], message: Mapping[str, Any]) -> None:
    """Adds a message; the results of calls that were made together belong into one turn."""
    turn = _turn(message)
    if message["role"] == "tool" and turns and _is_of_results(turns[-1]):
        turns[-1] = {**turn, "content": turns[-1]["content"] + turn["content"]}
    else:
        turns.append(turn)


def _is_of_results(turn: Mapping[str, Any]) -> bool:
    content = turn["content"]
    last = content[-1] if isinstance(content, list) and content else None
    return turn["role"] == "user" and isinstance(last, Mapping) and last.get("type") == "tool_result"


def _turn(message: Mapping[str, Any]) -> dict[str, Any]:
    content = anthropic_content(message.get("content"))
    if message["role"] == "tool":
        result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": content}
        return {"role": "user", "content": [result]}
    if not (calls := message.get("tool_calls")):
        return {"role": message["role"], "content": content}
    said = [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []
    return {"role": message["role"], "content": [*said, *map(_use_of, calls)]}


def _use_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call of a tool, written as other APIs have it, as a block."""
    function = call.get("function") or {}
    given = function.get("arguments") or "{}"
    arguments = orjson.loads(given) if isinstance(given, str) else given
    return {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": arguments}


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `_use_of`."""
    arguments = orjson.dumps(block.get("input") or {}).decode()
    function = {"name": block.get("name"), "arguments": arguments}
    return {"id": block.get("id"), "type": "function", "function": function}


def _all_of(usage: Mapping[str, Any], *names: str) -> int | None:
    counts = [found for name in names if (found := count(usage.get(name))) is not None]
    return sum(counts) if counts else None


def _add(block: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Adds a piece to a block that is being streamed. The input of a tool is JSON in pieces, read at the end."""
    kind = delta.get("type")
    if kind == "input_json_delta":
        block["partial_json"] = block.get("partial_json", "") + (delta.get("partial_json") or "")
    elif isinstance(kind, str) and (name := _PIECES.get(kind)):
        block[name] = (block.get(name) or "") + (delta.get(name) or "")


def _whole(block: dict[str, Any]) -> dict[str, Any]:
    written = block.pop("partial_json", "")
    if not written:
        return block
    try:
        return {**block, "input": orjson.loads(written)}
    except orjson.JSONDecodeError:  # cut off at max_tokens
        return {**block, "input": {}}
