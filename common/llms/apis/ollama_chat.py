"""Chat completions of an Ollama server, with the options of its own API that chats take too.

Source: Ollama's page about its OpenAI compatibility, and distilabel's `OllamaLLM` for `options` and `format`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.llms.apis.chat_completions import ChatCompletions
from common.llms.base import ChatMessage

OWN_OPTIONS: Mapping[str, str] = {
    "num_predict": "max_tokens",
    **{name: name for name in ("frequency_penalty", "presence_penalty", "seed", "stop", "temperature", "top_p")},
}
"""Names within `options` -> the option of chat completions; the server takes no others there."""


class OllamaChat(ChatCompletions):
    """`POST /chat/completions`."""

    options = ChatCompletions.options | {"format", "options"}

    def request(self, model: str, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> dict[str, Any]:
        """See `Api`."""
        named = {name: value for name, value in options.items() if name not in ("format", "options")}
        own = options.get("options") or {}
        found = {OWN_OPTIONS[name]: value for name, value in own.items() if name in OWN_OPTIONS and value is not None}
        if form := options.get("format"):
            schema = {"name": "answer", "schema": form}
            wanted = {"type": "json_schema", "json_schema": schema} if form != "json" else {"type": "json_object"}
            found["response_format"] = wanted
        return super().request(model, messages, {**found, **named})
