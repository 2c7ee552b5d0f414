"""OpenAI's Responses API.

Source: the API reference of OpenAI ("Responses", "Streaming events") and its page about coming from chat completions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from common.llms.apis.api import apart_from_extra
from common.llms.apis.chat_completions import ChatCompletions, count
from common.llms.apis.events import events
from common.llms.apis.tools import responses_tools
from common.llms.base import ChatMessage, Generation
from common.llms.calls.verdicts import ErrorReply
from common.llms.media.translation import responses_content

_REASONS = {"max_output_tokens": "length"}
"""Why an answer is incomplete, in the words of the other APIs; others stay as they are."""
_LAST_EVENTS = ("response.completed", "response.incomplete", "response.failed")


class Responses:
    """`POST /responses`. Replies are not stored at the endpoint, unless `store` says so."""

    path = "/responses"
    options = frozenset(
        {
            *("extra_body", "include", "max_output_tokens", "max_tool_calls", "metadata", "moderation"),
            *("parallel_tool_calls", "prompt", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
            *("reasoning", "reasoning_effort", "response_format"),
            *("safety_identifier", "service_tier", "store", "temperature", "text", "tool_choice", "tools"),
            *("top_logprobs", "top_p", "truncation", "user", "verbosity"),
        }
    )
    spellings: Mapping[str, str] = dict.fromkeys(
        ("max_new_tokens", "max_tokens", "max_completion_tokens"), "max_output_tokens"
    )

    def request(self, model: str, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> dict[str, Any]:
        """See `Api`. The first system messages become the instructions."""
        own, extra = apart_from_extra(options)
        named = _own_names(own)
        first = next((n for n, message in enumerate(messages) if not _is_instruction(message)), len(messages))
        request: dict[str, Any] = {
            "model": model,
            "input": [item for each in messages[first:] for item in _items(each)],
        }
        if first:
            request["instructions"] = "\n\n".join(str(message["content"]) for message in messages[:first])
        return {**request, "store": False, **named, **extra}

    def generation(self, reply: Any) -> Generation:
        """See `Api`."""
        try:
            items = [item for item in reply["output"] if isinstance(item, dict)]
            status, usage = reply.get("status") or "completed", reply.get("usage") or {}
            incomplete = str((reply.get("incomplete_details") or {}).get("reason") or "")
        except (KeyError, TypeError, AttributeError):
            raise ValueError("it has no list of output") from None
        if status not in ("completed", "incomplete"):
            raise ValueError(f"its status is '{status}'")
        parts = [part for item in items if item.get("type") == "message" for part in item.get("content") or ()]
        texts = [part for part in parts if part.get("type") == "output_text"]
        refusals = [part.get("refusal") or "" for part in parts if part.get("type") == "refusal"]
        calls = [_call(item) for item in items if item.get("type") == "function_call"]
        logprobs = [each for part in texts for each in part.get("logprobs") or ()]
        finish = "tool_calls" if calls else "stop"
        return Generation(
            text="".join(part.get("text") or "" for part in texts) if texts else None,
            finish_reason=_REASONS.get(incomplete) or incomplete or status if status == "incomplete" else finish,
            input_tokens=count(usage.get("input_tokens")),
            output_tokens=count(usage.get("output_tokens")),
            reasoning="\n".join(_thoughts(items)) or None,
            refusal="".join(refusals) or None,
            model=reply.get("model"),
            cached_tokens=count((usage.get("input_tokens_details") or {}).get("cached_tokens")),
            reasoning_tokens=count((usage.get("output_tokens_details") or {}).get("reasoning_tokens")),
            tool_calls=calls or None,
            logprobs={"content": logprobs} if logprobs else None,
        )

    def headers(self, key: str) -> dict[str, str]:
        """See `Api`."""
        return ChatCompletions().headers(key)

    def error(self, reply: Any) -> ErrorReply:
        """See `Api`."""
        return ChatCompletions().error(reply)

    def assembled(self, body: bytes) -> Any:
        """See `Api`. The last event has the whole reply."""
        for event in events(body):
            kind = event.get("type")
            if kind == "error":
                return event if isinstance(event.get("error"), dict) else {"error": event}
            if kind in _LAST_EVENTS:
                return event.get("response")
        raise ValueError("the stream ended before the answer did")


def _own_names(options: dict[str, Any]) -> dict[str, Any]:
    """Options of chat completions that have another place here."""
    effort, verbosity = options.pop("reasoning_effort", None), options.pop("verbosity", None)
    wanted = options.pop("response_format", None)
    if effort is not None:
        options["reasoning"] = {"effort": effort, **(options.get("reasoning") or {})}
    text = {} if verbosity is None else {"verbosity": verbosity}
    if isinstance(wanted, Mapping):
        text["format"] = {"type": wanted.get("type"), **(wanted.get("json_schema") or {})}
    return responses_tools({**options, **({"text": {**text, **(options.get("text") or {})}} if text else {})})


def _is_instruction(message: Mapping[str, Any]) -> bool:
    return message["role"] in ("system", "developer") and isinstance(message.get("content"), str)


def _items(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A message as items of the input; calls of tools are items of their own."""
    if message["role"] == "tool":
        yield {
            "type": "function_call_output",
            "call_id": message.get("tool_call_id"),
            "output": message.get("content"),
        }
        return
    calls = message.get("tool_calls") or ()
    if message.get("content") or not calls:
        yield {"role": message["role"], "content": responses_content(message.get("content"), message["role"])}
    for call in calls:
        yield {"type": "function_call", "call_id": call.get("id"), **(call.get("function") or {})}


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    return {"id": item.get("call_id"), "type": "function", "function": function}


def _thoughts(items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The reasoning itself where an endpoint sends it, else its summary."""
    for item in items:
        if item.get("type") == "reasoning":
            for part in item.get("content") or item.get("summary") or ():
                if part.get("text"):
                    yield part["text"]
