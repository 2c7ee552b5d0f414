"""The conversation that is sent for a row. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.cells import kind_of
from common.errors import RowError
from common.llms.base import ChatMessage

SYSTEM_PROMPT = "system_prompt"
"""The parameter of a task, and the column in which a row may have its own."""
USE_ROW_PROMPT = "use_row_system_prompt"
"""The parameter that says whether the row's counts."""


def conversation_of(turns: list[Any], column: str, advice: str = "") -> list[ChatMessage]:
    """A list of messages, as sent to a model. Raises RowError for anything else.

    Args:
        advice: the end of its message: what else to do about a list that is no conversation.
    """
    for index, turn in enumerate(turns):
        missing = next((name for name in ("role", "content") if not isinstance(turn, dict) or name not in turn), None)
        if missing is not None:
            what = f"a mapping without '{missing}'" if isinstance(turn, dict) else kind_of(turn)
            raise RowError(
                f"{column}[{index}] must be a message, a mapping with 'role' and 'content', not {what}{advice}"
            )
    if not turns:
        raise RowError(f"column '{column}' holds an empty list where a text or a conversation is expected")
    # Parquet gives every message the fields of all messages, None where one lacks a field.
    messages: Any = [
        {name: value for name, value in turn.items() if value is not None or name == "content"} for turn in turns
    ]
    return list(messages)


def formatted(made: Any) -> list[ChatMessage]:
    """What `format_input` has returned, as messages: a text is one message of the user.

    Raises:
        RowError: it is neither a text nor a list of messages.
    """
    if isinstance(made, str):
        return [{"role": "user", "content": made}]
    if not isinstance(made, list) or not made:
        what = "an empty list" if made == [] else kind_of(made)
        raise RowError(f"format_input returned {what} where a list of messages is expected")
    for index, message in enumerate(made):
        if not isinstance(message, dict) or "role" not in message or "content" not in message:
            raise RowError(
                f"format_input returned {kind_of(message)} as message {index}, where a mapping with 'role' and "
                "'content' is expected"
            )
    return made


def with_system_prompt(
    messages: list[ChatMessage], row: Mapping[str, Any], of_step: str | None, *, use_row: bool
) -> list[ChatMessage]:
    """The conversation with its system prompt first: the row's, if it counts and has words, else the step's.

    A conversation that begins with a system message keeps that instead of the step's.

    Raises:
        RowError: the row's is no text, or the row has two.
    """
    own = row.get(SYSTEM_PROMPT) if use_row else None
    if own is not None and not isinstance(own, str):
        raise RowError(f"column '{SYSTEM_PROMPT}' holds {kind_of(own)} where text is expected")
    if messages[0]["role"] == "system":
        if own:
            raise RowError(f"the row has two system prompts: in column '{SYSTEM_PROMPT}' and in its conversation")
        return messages
    prompt = own or of_step
    return [{"role": "system", "content": prompt}, *messages] if prompt else messages
