"""Who holds the entries of a step's stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.protocol.keys import HANDED_BACK


@dataclass(frozen=True, slots=True)
class Held:
    """An entry that a consumer of a group holds, and the consumers that have held it, this one included."""

    entry: str
    consumer: str
    deliveries: int


def holders(summary: Mapping[str, Any]) -> dict[str, int]:
    """Entries per worker, of what XPENDING says of a group; what was handed back is nobody's."""
    held = {
        consumer["name"].decode(errors="replace"): int(consumer["pending"]) for consumer in summary["consumers"] or ()
    }
    held.pop(HANDED_BACK, None)
    return held
