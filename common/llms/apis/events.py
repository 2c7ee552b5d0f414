"""Server-sent events, in which streamed replies come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson


def events(body: bytes) -> Iterator[dict[str, Any]]:
    """The data of server-sent events, up to `[DONE]`.

    Raises:
        ValueError: one of them is not a JSON object.
    """
    for line in body.replace(b"\r\n", b"\n").split(b"\n"):
        if line.startswith(b"data:"):
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            try:
                event = orjson.loads(data)
            except orjson.JSONDecodeError:
                raise ValueError("an event of the stream is not JSON") from None
            if not isinstance(event, dict):
                raise ValueError("an event of the stream is not an object")
            yield event
