"""Who holds the entries of a step's stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.protocol.keys import HANDED_BACK


@dataclass(frozen=True, slots=True)
class Held:
    """An entry held by a consumer of a group, and the number of consumers that have held it, this one included."""

    entry: str
    consumer: str
    deliveries: int


def holders(summary: Mapping[str, Any]) -> dict[str, int]:
    """Entries per worker, from XPENDING of a group; entries handed back belong to no worker."""
    held = {
        consumer["name"].decode(errors="replace"): int(consumer["pending"]) for consumer in summary["consumers"] or ()
    }
    held.pop(HANDED_BACK, None)
    return held
