"""What a model is told about the form of its answer, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from common.llms.messages import ChatMessage
from common.llms.structured.structured_output import StructuredOutput


def stated(form: StructuredOutput) -> str:
    """The form, as the last sentence of a prompt."""
    if form.format == "json":
        schema = orjson.dumps(form.schema_).decode()
        return f"Answer with JSON that is valid under this JSON Schema, and with nothing else:\n{schema}"
    if form.format == "choice":
        choices = "\n".join(f"- {each}" for each in form.schema_)
        return f"Answer with exactly one of these, and with nothing else:\n{choices}"
    what = "matches this regular expression" if form.format == "regex" else "follows this grammar"
    return f"Answer with a text that {what}, and with nothing else:\n{form.schema_}"


def with_form(messages: Sequence[ChatMessage], form: StructuredOutput) -> list[ChatMessage]:
    """The conversation, whose last message from the user ends with the form."""
    found: list[Any] = list(messages)
    for index in range(len(found) - 1, -1, -1):
        if found[index]["role"] == "user":
            content = found[index]["content"]
            more = f"\n\n{stated(form)}"
            added = content + more if isinstance(content, str) else [*content, {"type": "text", "text": more}]
            found[index] = {**found[index], "content": added}
            return found
    return [*found, {"role": "user", "content": stated(form)}]


def asked_to_repair(messages: Sequence[ChatMessage], answer: str, fault: str) -> list[ChatMessage]:
    """The conversation that shows a model its answer of the wrong form."""
    request = f"Your answer does not have the form that was asked for: {fault}. Answer again, in the right form."
    return [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": request}]
