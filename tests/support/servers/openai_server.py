"""OpenAI's three APIs on loopback, and Azure's addresses of them, as their references describe them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.support.servers.api_server import KEY, ApiServer, Asked, Event, Refused, required

_CHAT = {
    *("model", "messages", "stream", "stream_options", "temperature", "top_p", "stop", "seed", "max_completion_tokens"),
    *("max_tokens", "logprobs", "top_logprobs", "reasoning_effort", "response_format", "tools", "tool_choice"),
}
_COMPLETIONS = {
    *("model", "prompt", "stream", "stream_options", "temperature", "top_p", "stop", "seed", "max_tokens", "logprobs"),
    *("echo", "suffix", "best_of"),
}
_RESPONSES = {
    *("model", "input", "instructions", "stream", "temperature", "top_p", "max_output_tokens", "reasoning", "text"),
    *("store", "tools", "tool_choice", "truncation"),
}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
DETAILS = {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}


def refusal(status: int, message: str, kind: str = "invalid_request_error", code: str = "") -> Refused:
    return Refused(status, {"error": {"message": message, "type": kind, "param": None, "code": code or None}})


def response(*output: dict[str, Any], status: str = "completed", reason: str = "", **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 7, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 4}}
    usage["output_tokens_details"] = {"reasoning_tokens": 2}
    details = {"reason": reason} if reason else None
    head = {"id": "resp_1", "object": "response", "model": "m-1", "status": status, "error": None}
    return {**head, "output": list(output), "incomplete_details": details, "usage": usage, **more}


def output_text(text: str, **more: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], **more}
    return {"type": "message", "role": "assistant", "status": "completed", "content": [part]}


@dataclass
class OpenAIServer(ApiServer):
    prefix: str = "/v1"
    key_header: str = "authorization"
    key: str = f"Bearer {KEY}"

    def check(self, asked: Asked) -> None:
        if asked.headers.get(self.key_header) != self.key:
            raise refusal(401, f"Incorrect API key: {asked.headers.get(self.key_header)}", code="invalid_api_key")
        api = self.api_of(asked)
        fields, needed = {
            "chat/completions": (_CHAT, ("model", "messages")),
            "completions": (_COMPLETIONS, ("model", "prompt")),
            "responses": (_RESPONSES, ("model", "input")),
        }[api]
        required(asked.body, needed, lambda name: refusal(400, f"Missing required parameter: '{name}'."))
        for name in asked.body.keys() - fields:
            raise refusal(400, f"Unrecognized request argument supplied: {name}")

    def api_of(self, asked: Asked) -> str:
        found = re.fullmatch(rf"{self.prefix}/(chat/completions|completions|responses)", asked.path)
        if not found:
            raise refusal(404, f"Invalid URL (POST {asked.path})")
        return found[1]

    def reply(self, asked: Asked) -> dict[str, Any]:
        api = self.api_of(asked)
        if api == "responses":
            return response(output_text(f"answer to {asked.body['input'][-1]['content']}"))
        head = {"id": "1", "model": "m-1", "usage": {**USAGE, **DETAILS}}
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "logprobs": None}
        if api == "completions":
            return {**head, "choices": [{**choice, "text": f"{asked.body['prompt']} and so on"}]}
        message = {"role": "assistant", "content": f"answer to {asked.body['messages'][-1]['content']}"}
        return {**head, "choices": [{**choice, "message": message}]}

    def events(self, reply: dict[str, Any]) -> Iterable[Event]:
        if "output" in reply or reply.get("type") == "error":
            yield from _of_a_response(reply)
        elif "error" in reply:
            yield Event({"id": "1", "choices": [{"index": 0, "delta": {"content": "an"}}]})
            yield Event(reply)
        else:
            yield from _chunks(reply)


def _chunks(reply: dict[str, Any]) -> Iterable[Event]:
    choice = reply["choices"][0]
    head = {"id": reply["id"], "model": reply["model"]}
    make: Callable[[str], dict[str, Any]]
    if "message" in choice:
        text, make = choice["message"]["content"], lambda piece: {"delta": {"content": piece}}
    else:
        text, make = choice["text"], lambda piece: {"text": piece}
    for piece in (text[:5], text[5:]):
        yield Event({**head, "choices": [{"index": 0, **make(piece), "finish_reason": None}]})
    yield Event({**head, "choices": [{"index": 0, **make(""), "finish_reason": choice["finish_reason"]}]})
    yield Event({**head, "choices": [], "usage": reply["usage"]})
    yield Event("[DONE]")


def _of_a_response(reply: dict[str, Any]) -> Iterable[Event]:
    started = {**reply, "output": [], "status": "in_progress", "usage": None, "error": None}
    yield Event({"type": "response.created", "response": started}, "response.created")
    if reply.get("type") == "error":
        yield Event(reply, "error")
        return
    for index, item in enumerate(reply["output"]):
        yield Event({"type": "response.output_item.added", "output_index": index, "item": {**item, "content": []}})
        for part in item.get("content") or ():
            if text := part.get("text"):
                yield Event({"type": "response.output_text.delta", "output_index": index, "delta": text})
        yield Event({"type": "response.output_item.done", "output_index": index, "item": item})
    yield Event({"type": f"response.{reply['status']}", "response": reply})


@dataclass
class AzureServer(OpenAIServer):
    """Azure's: the deployment stands in the URL, and the key in a header of its own."""

    key_header: str = "api-key"
    key: str = KEY
    deployments: tuple[str, ...] = ("m",)

    def api_of(self, asked: Asked) -> str:
        version = asked.query.get("api-version")
        found = re.fullmatch(r"/openai/deployments/([^/]+)/(chat/completions|completions)", asked.path)
        if found and version:
            if found[1] not in self.deployments:
                error = {
                    "code": "DeploymentNotFound",
                    "message": "The API deployment for this resource does not exist.",
                }
                raise Refused(404, {"error": error})
            return found[2]
        if asked.path == "/openai/responses" and version:
            return "responses"
        found = re.fullmatch(r"/openai/v1/(chat/completions|completions|responses)", asked.path)
        if found and not version:
            return found[1]
        raise Refused(404, {"error": {"code": "404", "message": "Resource not found"}})
