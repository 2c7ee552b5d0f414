"""A broker's facts about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OLDEST_VERSION = (6, 2)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The identity of a broker. Memory is in bytes."""

    version: str
    maxmemory: int
    used_memory: int
    policy: str
    append_only: bool

    @classmethod
    def parse(cls, info: Mapping[str, Any]) -> ServerFacts:
        """From its answer to INFO."""
        return cls(
            version=str(info.get("valkey_version") or info.get("redis_version", "0")),
            maxmemory=int(info.get("maxmemory", 0)),
            used_memory=int(info.get("used_memory", 0)),
            policy=str(info.get("maxmemory_policy", "noeviction")),
            append_only=bool(int(info.get("aof_enabled", 0))),
        )

    def problem(self) -> str:
        """Why it would lose work, to follow "the broker at URL"; empty if it would not."""
        version = tuple(int(part) for part in self.version.split(".")[:2])
        if version < OLDEST_VERSION:
            return f"is version {self.version}; Penstock needs 6.2 or newer"
        if self.policy != "noeviction":
            return (
                f"has maxmemory-policy {self.policy}, so it would discard work when full; set it to "
                "noeviction (CONFIG SET maxmemory-policy noeviction, and in its configuration)"
            )
        return ""


def which_life(said: Mapping[str, Any]) -> str:
    """Identifies the server and its life: a promotion begins a new life, like a restart."""
    return f"{said.get('run_id')} {said.get('master_replid')}"
