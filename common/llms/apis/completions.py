"""OpenAI's legacy completions API, for base models: a text goes in, and a text that continues it comes out.

Source: the API reference of OpenAI ("Completions (legacy)").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.llms.apis.api import apart_from_extra
from common.llms.apis.chat_completions import ChatCompletions, count, text_or_none
from common.llms.apis.events import events
from common.llms.base import ChatMessage, Generation
from common.llms.calls.verdicts import ErrorReply


class Completions:
    """`POST /completions`. The prompt is the contents of all messages, a blank line between two, without roles."""

    path = "/completions"
    options = frozenset(
        {
            *("best_of", "echo", "extra_body", "frequency_penalty", "logit_bias", "logprobs", "max_tokens"),
            *("presence_penalty", "seed", "stop", "suffix", "temperature", "top_p", "user"),
        }
    )
    spellings: Mapping[str, str] = dict.fromkeys(("max_new_tokens", "max_completion_tokens"), "max_tokens")

    def request(self, model: str, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> dict[str, Any]:
        """See `Api`."""
        contents = [message["content"] for message in messages]
        if not all(isinstance(content, str) for content in contents):
            raise ValueError("the completions API takes texts alone, and a message has another content")
        named, extra = apart_from_extra(options)
        request = {"model": model, "prompt": "\n\n".join(map(str, contents)), **named, **extra}
        if request.get("stream"):
            request.setdefault("stream_options", {"include_usage": True})
        return request

    def generation(self, reply: Any) -> Generation:
        """See `Api`."""
        try:
            choice = reply["choices"][0]
            text, usage = choice["text"], reply.get("usage") or {}
        except (KeyError, IndexError, TypeError, AttributeError):
            raise ValueError("it has no choices[0].text") from None
        return Generation(
            text=text_or_none(text),
            finish_reason=choice.get("finish_reason"),
            input_tokens=count(usage.get("prompt_tokens")),
            output_tokens=count(usage.get("completion_tokens")),
            model=reply.get("model"),
            cached_tokens=count((usage.get("prompt_tokens_details") or {}).get("cached_tokens")),
            reasoning_tokens=count((usage.get("completion_tokens_details") or {}).get("reasoning_tokens")),
            logprobs=choice.get("logprobs") or None,
        )

    def headers(self, key: str) -> dict[str, str]:
        """See `Api`."""
        return ChatCompletions().headers(key)

    def error(self, reply: Any) -> ErrorReply:
        """See `Api`."""
        return ChatCompletions().error(reply)

    def assembled(self, body: bytes) -> Any:
        """See `Api`."""
        reply: dict[str, Any] = {}
        pieces: list[str] = []
        logprobs: dict[str, list[Any]] = {}
        finish = None
        for event in events(body):
            if event.get("error"):
                return event
            reply.update({name: event[name] for name in ("id", "model", "created", "usage") if event.get(name)})
            for choice in event.get("choices") or ():
                pieces.append(choice.get("text") or "")
                for name, values in (choice.get("logprobs") or {}).items():
                    logprobs.setdefault(name, []).extend(values or ())
                finish = choice.get("finish_reason") or finish
        if finish is None:
            raise ValueError("the stream ended before the answer did")
        choice = {"index": 0, "text": "".join(pieces), "finish_reason": finish, "logprobs": logprobs or None}
        return {**reply, "choices": [choice]}
