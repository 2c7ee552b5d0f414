"""The messages of a conversation. Pure."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

Content = str | list[dict[str, Any]]
"""A text, or parts in the words of OpenAI's chat completions: `text`, `image_url`, `input_audio`, `file`."""


class ChatMessage(TypedDict):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Content


def text_in(content: Content | None) -> str:
    """The text of a content, that of its parts joined."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
