"""What a broker says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OLDEST_VERSION = (6, 2)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Who a broker is. Memory is in bytes."""

    version: str
    maxmemory: int
    used_memory: int
    policy: str
    append_only: bool

    @classmethod
    def parse(cls, info: Mapping[str, Any]) -> ServerFacts:
        """From what it answers to INFO."""
        return cls(
            version=str(info.get("valkey_version") or info.get("redis_version", "0")),
            maxmemory=int(info.get("maxmemory", 0)),
            used_memory=int(info.get("used_memory", 0)),
            policy=str(info.get("maxmemory_policy", "noeviction")),
            append_only=bool(int(info.get("aof_enabled", 0))),
        )

    def problem(self) -> str:
        """Why it would lose work, to be said of "the broker at URL"; empty where it would not."""
        version = tuple(int(part) for part in self.version.split(".")[:2])
        if version < OLDEST_VERSION:
            return f"is version {self.version}; Penstock needs 6.2 or newer"
        if self.policy != "noeviction":
            return (
                f"has maxmemory-policy {self.policy}, so it would throw work away when it is full; set it to "
                "noeviction (CONFIG SET maxmemory-policy noeviction, and in its configuration)"
            )
        return ""


def which_life(said: Mapping[str, Any]) -> str:
    """Which server it is, and which of its lives: a promotion begins another one, like a start."""
    return f"{said.get('run_id')} {said.get('master_replid')}"
