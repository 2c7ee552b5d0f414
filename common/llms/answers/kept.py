"""Kept answers, as the call path and the store speak of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from common.llms.answers.request_key import Family
from common.llms.base import Cached


@dataclass(slots=True, eq=False)
class Kept:
    """An answer in the store.

    Args:
        id: of the store; None while it is not committed.
        rejected: no row could keep it.
    """

    id: object = None
    rejected: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """An answer that was paid for before.

    Args:
        reply: JSON.
        is_own: whether this run has paid for it.
    """

    reply: bytes
    is_own: bool
    kept: Kept

    @property
    def cached(self) -> Cached:
        """Whose it was, see `Generation`."""
        return "earlier" if self.is_own else "elsewhere"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer goes.

    Args:
        claimant: identifies the place, with the request and the run; of `KEY_BYTES`.
        attempt: how often a halted run was resumed with the batch.
    """

    claimant: bytes
    attempt: int = 0


class Answers(Protocol):
    """Where answers are kept. Nothing here raises."""

    async def find(self, key: bytes, place: Place) -> Found | None:
        """The answer that this place has had before, else one to the request that no place of this run has."""

    def keep(self, key: bytes, place: Place, family: Family, request: Mapping[str, Any], reply: bytes) -> Kept:
        """Keeps a new answer, for this place. Waits for nothing."""

    def reject(self, kept: Kept) -> None:
        """No row can keep this answer: only its own place is given it again, when its batch runs again."""

    def close(self) -> None:
        """Commits what is kept."""
