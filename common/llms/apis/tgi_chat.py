"""Chat completions as Text Generation Inference has them, with the options of its other route that chats take too.

Source: the Messages API page of Text Generation Inference, and distilabel's `InferenceEndpointsLLM` for the spellings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.llms.apis.chat_completions import ChatCompletions
from common.llms.base import ChatMessage


class TgiChat(ChatCompletions):
    """`POST /chat/completions`."""

    options = ChatCompletions.options | {"do_sample", "repetition_penalty", "top_k", "typical_p"}
    spellings: Mapping[str, str] = {**ChatCompletions.spellings, "stop_sequences": "stop"}

    def request(self, model: str, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> dict[str, Any]:
        """See `Api`. Without sampling, the temperature is 0."""
        named = {name: value for name, value in options.items() if name != "do_sample"}
        if options.get("do_sample") is False:
            named["temperature"] = 0.0
        return super().request(model, messages, named)
