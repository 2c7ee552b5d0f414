"""Conversations of instructions and answers, as supervised fine-tuning (SFT) takes them."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

from common.cells import blank, kind_of, list_of, words_of
from common.errors import RowError
from common.steps.base import Row, Step, StepColumns, StepInput, StepOutput

Message = dict[str, Any]
"""One turn of a conversation: `role` and `content`."""


class ConversationTemplate(Step):
    """Adds the column `conversation`: `instruction` as the user's message, `response` as the assistant's.

    A row without words in one of them fails.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    @property
    def inputs(self) -> list[str]:
        return ["instruction", "response"]

    @property
    def outputs(self) -> list[str]:
        return ["conversation"]

    def process(self, inputs: StepInput) -> StepOutput:
        yield [
            {**row, "conversation": [message("user", row, "instruction"), message("assistant", row, "response")]}
            for row in inputs
        ]


class FormatTextGenerationSFT(Step):
    """Adds `messages`, the conversation of `instruction` and `generation`, as trainers for SFT take it.

    A non-empty `system_prompt` is its first message. `prompt` is the instruction, `prompt_id` its SHA-256. A
    row without words in `instruction` or `generation` fails.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    @property
    def inputs(self) -> StepColumns:
        return {"instruction": True, "generation": True, "system_prompt": False}

    @property
    def outputs(self) -> list[str]:
        return ["prompt", "prompt_id", "messages"]

    def process(self, inputs: StepInput) -> StepOutput:
        yield [
            {
                **row,
                **prompt_columns(words_of(row, "instruction")),
                "messages": [*opening(row), message("assistant", row, "generation")],
            }
            for row in inputs
        ]


class FormatChatGenerationSFT(Step):
    """Adds `generation` to the conversation in `messages` as the assistant's answer, as trainers for SFT take it.

    `prompt` is the first message of the user, `prompt_id` its SHA-256. A row without such a message, or without words
    in `generation` or a message, fails.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    @property
    def inputs(self) -> list[str]:
        return ["messages", "generation"]

    @property
    def outputs(self) -> list[str]:
        return ["prompt", "prompt_id", "messages"]

    def process(self, inputs: StepInput) -> StepOutput:
        yield [self._format(row) for row in inputs]

    def _format(self, row: Row) -> Row:
        messages = messages_of(row)
        answer = message("assistant", row, "generation")
        return {**row, **prompt_columns(first_of_user(messages)), "messages": [*messages, answer]}


def opening(row: Row) -> list[Message]:
    """The conversation sent to a model: `system_prompt`, unless empty, and `instruction`."""
    user = message("user", row, "instruction")
    return [message("system", row, "system_prompt"), user] if _has_words(row.get("system_prompt")) else [user]


def _has_words(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else value is not None


def messages_of(row: Row) -> list[Message]:
    """The column `messages`.

    Raises:
        RowError: it is not a list of mappings with `role` and `content`, or one of the texts has no words.
    """
    messages = list_of(row, "messages")
    for index, turn in enumerate(messages):
        if not isinstance(turn, dict) or not {"role", "content"} <= turn.keys():
            raise RowError(f"messages[{index}] must be a mapping with 'role' and 'content', not {kind_of(turn)}")
        content = turn["content"]
        if isinstance(content, str) and not content.strip() and not turn.keys() - {"role", "content"}:
            raise RowError(f"messages[{index}] holds {blank(content)} where words are expected")
    return messages


def first_of_user(messages: list[Message]) -> str:
    """Raises RowError if the user says nothing, or something other than text."""
    content = next((turn["content"] for turn in messages if turn["role"] == "user"), None)
    if not isinstance(content, str):
        what = "no user message" if content is None else f"{kind_of(content)} as the first user message"
        raise RowError(f"column 'messages' has {what}; the prompt is the text of that message")
    return content


def prompt_columns(prompt: str) -> Row:
    """`prompt`, and `prompt_id`, which identifies the rows of one prompt: its SHA-256 in hex."""
    return {"prompt": prompt, "prompt_id": hashlib.sha256(prompt.encode()).hexdigest()}


def message(role: str, row: Row, column: str) -> Message:
    """The text of a column as a turn of `role`. Raises RowError if it has no words."""
    return {"role": role, "content": words_of(row, column)}
