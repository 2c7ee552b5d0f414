"""EchoLLM: try a pipeline without a model, a key or a network."""

from __future__ import annotations

import asyncio
import re
from random import Random
from typing import Any, ClassVar, Self

import orjson
from pydantic import Field, field_validator

from common.errors import UsageError
from common.llms.base import LLM, ChatMessage, Generation
from common.llms.messages import text_in
from common.llms.metering import note_answer
from common.llms.structured.made_up import MadeUp
from common.llms.structured.structured_output import StructuredOutput

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_BETWEEN_TAGS = re.compile(r"<(\w+)>\.\.\.</\1>")
"""How a prompt shows where an answer goes."""
_EXTRACT_WORDS = 24
_FORMS = ("json", "choice")


class EchoLLM(LLM):
    """A stand-in that calls no model: answers with the longest sentence of the last message, and says so.

    With a `structured_output` it makes up JSON that is valid under the schema, or chooses from the list: numbers and
    choices differ from prompt to prompt, so a filter after a judge has something to do. It has no other forms. Where
    the prompt shows tags to fill in, such as `<answer>...</answer>`, the answer stands between them. For a task that
    reads something else from its answers, `replies` are what it is given.

    An answer depends on the last message alone, so a pipeline tried with it produces the same dataset each time.
    `generation_kwargs` are accepted and ignored; several generations for one prompt are identical.
    """

    _version: ClassVar[int] = 2

    prefix: str = Field(default="", description="Text at the beginning of every answer.")
    replies: list[str] = Field(
        default_factory=list,
        description="The answers, such as those that a judge could give; each prompt gets one of them, as they are.",
    )
    latency: float = Field(default=0.0, ge=0, description="Seconds that each answer takes.")
    structured_output: StructuredOutput | None = Field(
        default=None, description="The form of the answers: {format: json or choice; schema: ...}."
    )

    @field_validator("structured_output")
    @classmethod
    def _is_a_form_it_has(cls, form: StructuredOutput | None) -> StructuredOutput | None:
        if form is not None and form.format not in _FORMS:
            raise ValueError(_other_form(form))
        return form

    @property
    def model_name(self) -> str:
        return "echo"

    @property
    def continues_text(self) -> bool:
        return True

    @property
    def answer_form(self) -> StructuredOutput | None:
        return self.structured_output

    def with_form(self, form: StructuredOutput) -> Self:
        """The same, whose answers have another form. Raises UsageError: neither JSON nor a choice."""
        if form.format not in _FORMS:
            raise UsageError(_other_form(form))
        return self.model_copy(update={"structured_output": form})

    async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
        if self.latency:
            await asyncio.sleep(self.latency)
        note_answer(self.model_name, None)  # words are no tokens
        prompt = text_in(messages[-1]["content"]) if messages else ""
        text = self._text(prompt)
        return Generation(
            text=text,
            finish_reason="stop",
            input_tokens=sum(len(text_in(message["content"]).split()) for message in messages),
            output_tokens=len(text.split()),
        )

    def _text(self, prompt: str) -> str:
        draws, form = Random(prompt.encode(errors="surrogatepass")), self.structured_output
        if self.replies:
            return draws.choice(self.replies)
        if form is not None and form.format == "choice":
            return str(draws.choice(form.schema_))
        if form is not None:
            return orjson.dumps(MadeUp(form.schema_, draws, lambda name: self._named(name, prompt)).value()).decode()
        text = f"{self.prefix}{_answer(prompt)}"
        tags = dict.fromkeys(_BETWEEN_TAGS.findall(prompt))
        return "\n".join(f"<{tag}>{text}</{tag}>" for tag in tags) or text

    def _named(self, name: str, prompt: str) -> str:
        return f'{self.prefix}Echo (no model was asked), {name}: "{_extract(prompt)}"'


def _answer(prompt: str) -> str:
    return f'Echo (no model was asked) of a prompt of {len(prompt.split())} words: "{_extract(prompt)}"'


def _extract(prompt: str) -> str:
    words = max(_SENTENCE_END.split(prompt), key=len).split()
    return " ".join(words[:_EXTRACT_WORDS]) + (" ..." if len(words) > _EXTRACT_WORDS else "")


def _other_form(form: StructuredOutput) -> str:
    return (
        f"EchoLLM has no format: {form.format}; it makes up answers of format json and choice. Try the pipeline "
        "without the form, or with a real model"
    )
