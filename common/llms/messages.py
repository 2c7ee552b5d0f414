"""The messages of a conversation."""

from __future__ import annotations

from typing import Literal, TypedDict


class ChatMessage(TypedDict):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str
