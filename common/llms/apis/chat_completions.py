"""OpenAI's chat completions API, which most servers of models speak.

Source: the API reference of OpenAI ("Chat", "Streaming"), and the servers' own pages for what they add: vLLM, SGLang
and DeepSeek send the reasoning as `reasoning_content`, OpenRouter and newer vLLM as `reasoning`, and Groq the tokens of
a stream under `x_groq`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from common.llms.apis.api import apart_from_extra
from common.llms.apis.events import events
from common.llms.base import ChatMessage, Generation
from common.llms.calls.verdicts import ErrorReply

_OPTIONS = frozenset(
    {
        *("audio", "extra_body", "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "max_tokens"),
        *("metadata", "modalities", "moderation", "parallel_tool_calls", "prediction", "presence_penalty"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
        *("reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier", "stop", "store"),
        *("temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity", "web_search_options"),
    }
)
_THINK, _THOUGHT = "<think>", "</think>"


class ChatCompletions:
    """`POST /chat/completions`."""

    path = "/chat/completions"
    options = _OPTIONS
    spellings: Mapping[str, str] = {"max_new_tokens": "max_tokens"}

    def request(self, model: str, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> dict[str, Any]:
        """See `Api`."""
        named, extra = apart_from_extra(options)
        request = {"model": model, "messages": messages, **named, **extra}
        if request.get("stream"):
            request.setdefault("stream_options", {"include_usage": True})
        return request

    def generation(self, reply: Any) -> Generation:
        """See `Api`."""
        try:
            choice = reply["choices"][0]
            message = choice["message"]
            usage = reply.get("usage") or {}
            text, refusal = message.get("content"), message.get("refusal")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise ValueError("it has no choices[0].message") from None
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        if isinstance(text, list):  # parts, as some gateways and Mistral's reasoning models send them
            reasoning, text = _thoughts(text) or reasoning, _texts(text)
        text = text_or_none(text)
        finish = choice.get("finish_reason")
        if text is not None and text.lstrip().startswith(_THINK):
            reasoning, text = _apart(text, reasoning, cut=finish == "length")
        return Generation(
            text=text,
            finish_reason=finish,
            input_tokens=count(usage.get("prompt_tokens")),
            output_tokens=count(usage.get("completion_tokens")),
            reasoning=reasoning or None,
            refusal=refusal or None,
            model=reply.get("model"),
            cached_tokens=count((usage.get("prompt_tokens_details") or {}).get("cached_tokens")),
            reasoning_tokens=count((usage.get("completion_tokens_details") or {}).get("reasoning_tokens")),
            tool_calls=message.get("tool_calls") or None,
            logprobs=choice.get("logprobs") or None,
        )

    def headers(self, key: str) -> dict[str, str]:
        """See `Api`."""
        return {"authorization": f"Bearer {key}"}

    def error(self, reply: Any) -> ErrorReply:
        """See `Api`. Old vLLM has the fields at the top, FastAPI `detail`, llama.cpp a number as `code`."""
        if isinstance(reply, list) and reply:  # Gemini
            reply = reply[0]
        error = reply.get("error", reply) if isinstance(reply, dict) else reply
        if not isinstance(error, dict):
            return ErrorReply(str(error))
        message = error.get("message") or error.get("detail") or orjson.dumps(error).decode()
        return ErrorReply(
            str(message),
            kind=str(error.get("type") or error.get("status") or ""),
            code=str(error.get("code") or ""),
            parameter=str(error.get("param") or ""),
        )

    def assembled(self, body: bytes) -> Any:
        """See `Api`."""
        reply: dict[str, Any] = {}
        message: dict[str, Any] = {"role": "assistant", "content": None}
        calls: dict[int, dict[str, Any]] = {}
        logprobs: list[Any] = []
        finish = None
        for event in map(_of_groq, events(body)):
            if event.get("error"):
                return event
            reply.update({name: event[name] for name in ("id", "model", "created", "usage") if event.get(name)})
            for choice in event.get("choices") or ():
                delta = choice.get("delta") or {}
                if isinstance(parts := delta.get("content"), list):
                    delta = {**delta, "content": _texts(parts), "reasoning_content": _thoughts(parts)}
                for name in ("content", "reasoning_content", "reasoning", "refusal"):
                    if isinstance(piece := delta.get(name), str):
                        message[name] = (message.get(name) or "") + piece
                for call in delta.get("tool_calls") or ():
                    _add_call(calls.setdefault(call.get("index", len(calls)), {}), call)
                logprobs += (choice.get("logprobs") or {}).get("content") or ()
                finish = choice.get("finish_reason") or finish
        if finish is None:
            raise ValueError("the stream ended before the answer did")
        if calls:
            message["tool_calls"] = [calls[index] for index in sorted(calls)]
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return {**reply, "choices": [choice | ({"logprobs": {"content": logprobs}} if logprobs else {})]}


def _of_groq(event: dict[str, Any]) -> dict[str, Any]:
    """An event with what Groq puts elsewhere: the tokens, and why it ends early."""
    if not isinstance(own := event.get("x_groq"), dict):
        return event
    error = {"error": {"message": str(own["error"])}} if own.get("error") else {}
    return {**event, **error, "usage": event.get("usage") or own.get("usage")}


def _texts(parts: Sequence[Any]) -> str:
    return "".join(part.get("text") or "" for part in parts if isinstance(part, dict))


def _thoughts(parts: Sequence[Any]) -> str:
    """The thinking among the parts of a content."""
    return "".join(_texts(part.get("thinking") or ()) for part in parts if isinstance(part, dict))


def _apart(text: str, reasoning: str | None, *, cut: bool) -> tuple[str | None, str | None]:
    """(reasoning, text) of a text that begins with its thinking; the text is None if that was cut off."""
    thought, end, answer = text.lstrip().removeprefix(_THINK).partition(_THOUGHT)
    if not end and not cut:
        return reasoning, text  # it only speaks of the tag
    return "\n".join(filter(None, (reasoning, thought.strip()))), answer.strip() if end else None


def text_or_none(value: Any) -> str | None:
    """Raises ValueError for anything else."""
    if value is not None and not isinstance(value, str):
        raise ValueError(f"its text is a {type(value).__name__}")
    return value


def count(value: Any) -> int | None:
    """A number of tokens, if it is one."""
    return value if isinstance(value, int) and value >= 0 else None


def _add_call(call: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        if name == "function" and isinstance(value, dict):
            function = call.setdefault("function", {})
            for part, piece in value.items():
                function[part] = (function.get(part) or "") + piece if isinstance(piece, str) else piece
        elif name != "index" and value is not None:
            call[name] = value
