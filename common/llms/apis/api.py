"""What an API is: how a question is written, and how a reply is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from common.llms.base import ChatMessage, Generation
from common.llms.calls.verdicts import ErrorReply


def apart_from_extra(options: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """(the options that the API has, those under `extra_body`, which are sent as they are)."""
    named = {name: value for name, value in options.items() if name != "extra_body"}
    return named, options.get("extra_body") or {}


class Api(Protocol):
    """An API of language models. Pure: the same arguments give the same result."""

    path: str
    """Appended to the base URL."""
    options: frozenset[str]
    """Names of the options that a request may have."""
    spellings: Mapping[str, str]
    """Names that other clients and APIs have for these options, such as distilabel's `max_new_tokens`."""

    def request(self, model: str, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a request; options under `extra_body` are added to it as they are.

        Raises:
            ValueError: this API cannot carry such messages.
        """

    def generation(self, reply: Any) -> Generation:
        """Reads a whole reply.

        Raises:
            ValueError: it does not have the shape of this API; says what is missing.
        """

    def assembled(self, body: bytes) -> Any:
        """One reply of the server-sent events of a streamed one; a reply with an error if they end in one.

        Raises:
            ValueError: the stream is not one, or ended before its end.
        """

    def headers(self, key: str) -> dict[str, str]:
        """The headers that carry the key."""

    def error(self, reply: Any) -> ErrorReply:
        """The error in a reply, which may have any shape."""
