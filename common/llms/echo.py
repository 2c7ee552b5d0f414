"""EchoLLM: try a pipeline without a model, a key or a network."""

from __future__ import annotations

import asyncio
import re
from typing import Any, ClassVar

from pydantic import Field

from common.llms.base import LLM, ChatMessage, Generation
from common.llms.messages import text_in
from common.llms.metering import note_answer

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_EXTRACT_WORDS = 24


class EchoLLM(LLM):
    """A stand-in that calls no model: answers with the longest sentence of the last message, and says so.

    The answer depends on the last message alone, so a pipeline tried with it produces the same dataset each time.
    `generation_kwargs` are accepted and ignored; several generations for one prompt are identical.
    """

    _version: ClassVar[int] = 1

    prefix: str = Field(default="", description="Text at the beginning of every answer.")
    latency: float = Field(default=0.0, ge=0, description="Seconds that each answer takes.")

    @property
    def model_name(self) -> str:
        return "echo"

    @property
    def continues_text(self) -> bool:
        return True

    async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
        if self.latency:
            await asyncio.sleep(self.latency)
        note_answer(self.model_name, None)  # words are no tokens
        prompt = text_in(messages[-1]["content"]) if messages else ""
        text = self.prefix + _answer(prompt)
        return Generation(
            text=text,
            finish_reason="stop",
            input_tokens=sum(len(text_in(message["content"]).split()) for message in messages),
            output_tokens=len(text.split()),
        )


def _answer(prompt: str) -> str:
    words = max(_SENTENCE_END.split(prompt), key=len).split()
    extract = " ".join(words[:_EXTRACT_WORDS]) + (" ..." if len(words) > _EXTRACT_WORDS else "")
    return f'Echo (no model was asked) of a prompt of {len(prompt.split())} words: "{extract}"'
