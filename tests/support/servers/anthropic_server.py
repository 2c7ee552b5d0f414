"""Anthropic's Messages API on loopback, as its reference describes it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.support.servers.api_server import KEY, ApiServer, Asked, Event, Refused, required

_FIELDS = {
    *("model", "messages", "max_tokens", "system", "stream", "stop_sequences", "temperature", "top_k", "top_p"),
    *("metadata", "output_config", "service_tier", "thinking", "tools", "tool_choice"),
}


def refusal(status: int, kind: str, message: str) -> Refused:
    return Refused(status, {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})


def said(*content: dict[str, Any], stop_reason: str = "end_turn", **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 5, "output_tokens": 3}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x"}
    return {**head, "content": list(content), "stop_reason": stop_reason, "stop_sequence": None, "usage": usage, **more}


@dataclass
class AnthropicServer(ApiServer):
    models: set[str] = field(default_factory=lambda: {"claude-x"})

    def check(self, asked: Asked) -> None:
        body = asked.body
        if asked.headers.get("x-api-key") != KEY:
            raise refusal(401, "authentication_error", f"invalid x-api-key: {asked.headers.get('x-api-key')}")
        if asked.headers.get("anthropic-version") != "2023-06-01":
            raise refusal(400, "invalid_request_error", "anthropic-version: header is required")
        if asked.path != "/v1/messages":
            raise refusal(404, "not_found_error", "Not Found")
        required(body, ("model", "messages", "max_tokens"), lambda name: _invalid(f"{name}: Field required"))
        for name in body.keys() - _FIELDS:
            raise _invalid(f"{name}: Extra inputs are not permitted")
        for message in body["messages"]:
            if message["role"] not in ("user", "assistant"):
                raise _invalid(f'messages: Unexpected role "{message["role"]}"')
            for name in message.keys() - {"role", "content"}:
                raise _invalid(f"messages.0.{name}: Extra inputs are not permitted")
        if body["model"] not in self.models:
            raise refusal(404, "not_found_error", f"model: {body['model']}")

    def reply(self, asked: Asked) -> dict[str, Any]:
        return said({"type": "text", "text": f"answer to {asked.body['messages'][-1]['content']}"})

    def events(self, reply: dict[str, Any]) -> Iterable[Event]:
        if "error" in reply:
            start = said(stop_reason="")
            yield _event({"type": "message_start", "message": start})
            yield _event({"type": "error", "error": reply["error"]})
            return
        usage = reply["usage"]
        start = {**reply, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
        yield _event({"type": "message_start", "message": start})
        yield _event({"type": "ping"})
        for index, block in enumerate(reply["content"]):
            begun, deltas = _in_pieces(block)
            yield _event({"type": "content_block_start", "index": index, "content_block": begun})
            for delta in deltas:
                yield _event({"type": "content_block_delta", "index": index, "delta": delta})
            yield _event({"type": "content_block_stop", "index": index})
        delta = {name: reply[name] for name in ("stop_reason", "stop_sequence", "stop_details") if name in reply}
        usage = {"output_tokens": usage["output_tokens"]}
        yield _event({"type": "message_delta", "delta": delta, "usage": usage})
        yield _event({"type": "message_stop"})


def _invalid(message: str) -> Refused:
    return refusal(400, "invalid_request_error", message)


def _event(data: dict[str, Any]) -> Event:
    return Event(data, data["type"])


def _in_pieces(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it begins, and the pieces that follow."""

    if block["type"] == "tool_use":
        written = json.dumps(block["input"])
        pieces = [written[:3], written[3:]]
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    kind = block["type"]
    deltas = [{"type": f"{kind}_delta", kind: piece} for piece in (block[kind][:4], block[kind][4:])]
    if kind == "thinking":
        deltas.append({"type": "signature_delta", "signature": "c2ln"})
    return {"type": kind, kind: ""}, deltas
