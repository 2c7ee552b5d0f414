"""Digests of data files, noted for the coordinator by workers that have read them whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from common.broker.connection import Connection
from common.protocol.keys import Keys

_DIGEST = re.compile(r"([0-9a-f]{32})?")


def note_digests(connection: Connection, keys: Keys, step: str, digests: Sequence[str]) -> None:
    """Notes the digests of a step's files, in their order; empty for files not read whole."""
    connection.call("note", [keys.progress], _field(step), json.dumps(list(digests)))


def read_digests(connection: Connection, keys: Keys, steps: Iterable[str]) -> dict[str, list[str]]:
    """The noted digests, by step; values of another shape are omitted."""
    steps = list(steps)
    if not steps:
        return {}
    noted = connection.command("HMGET", keys.progress, *map(_field, steps))
    found = {step: _digests(text) for step, text in zip(steps, noted, strict=True) if text}
    return {step: digests for step, digests in found.items() if digests}


def _digests(text: bytes) -> list[str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(found, list) or not all(isinstance(one, str) and _DIGEST.fullmatch(one) for one in found):
        return []
    return found


def _field(step: str) -> str:
    return f"digests:{step}"
