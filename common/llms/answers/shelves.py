"""Kept answers as those see them who look after them: in a file of this host, or in a broker."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import orjson

from common.broker.answers import AnswersOfBroker
from common.llms.answers import housekeeping
from common.llms.answers.housekeeping import Group, Nearest

_ALL_TIME = float(1 << 40)


class Shelf(Protocol):
    """Where answers are kept.

    Attributes:
        shown: for people.
    """

    shown: str

    def groups(self) -> list[Group]:
        """By model, the largest first."""

    def sizes(self) -> tuple[int, int]:
        """(bytes that it takes, bytes of them that are in use)."""

    def delete_older(self, moment: float) -> int:
        """Deletes answers older than a moment, in seconds since 1970; returns how many."""

    def keep_within(self, budget: int) -> int:
        """Deletes the oldest answers if all take more bytes; returns how many."""

    def clear(self) -> int:
        """Deletes all; returns how many."""

    def nearest(self, parts: Mapping[str, str], *, with_prompt: bool) -> list[Nearest]:
        """See `housekeeping.nearest`."""


class FileShelf:
    """A file of kept answers."""

    def __init__(self, file: Path, connection: sqlite3.Connection) -> None:
        self.shown = str(file)
        self._file = file
        self._connection = connection

    def groups(self) -> list[Group]:
        """See `Shelf`."""
        return housekeeping.groups(self._connection)

    def sizes(self) -> tuple[int, int]:
        """With what SQLite has beside the file."""
        whole = sum(path.stat().st_size for path in self._file.parent.glob(f"{self._file.name}*"))
        return whole, housekeeping.used_bytes(self._connection)

    def delete_older(self, moment: float) -> int:
        """See `Shelf`; those made before it."""
        deleted = housekeeping.delete_older(self._connection, moment)
        housekeeping.shrink(self._connection)
        return deleted

    def keep_within(self, budget: int) -> int:
        """See `Shelf`."""
        deleted = housekeeping.keep_within(self._connection, budget)
        housekeeping.shrink(self._connection)
        return deleted

    def clear(self) -> int:
        """See `Shelf`."""
        return self.delete_older(_ALL_TIME)

    def nearest(self, parts: Mapping[str, str], *, with_prompt: bool) -> list[Nearest]:
        """See `Shelf`."""
        return housekeeping.nearest(housekeeping.requests(self._connection), parts, with_prompt=with_prompt)


class BrokerShelf:
    """The kept answers of a broker. What raises is as with `Connection`."""

    def __init__(self, shown: str, answers: AnswersOfBroker) -> None:
        self.shown = shown
        self._answers = answers

    def groups(self) -> list[Group]:
        """See `Shelf`."""
        found: dict[str, Group] = {}
        for one in self._answers.requests():
            known = found.get(one.model, Group(one.model, 0, 0, one.first, one.newest, 0))
            found[one.model] = Group(
                one.model,
                known.answers + one.answers,
                known.bytes + one.size,
                min(known.first, one.first),
                max(known.last, one.newest),
                known.rejected + one.rejected,
            )
        return sorted(found.values(), key=lambda group: -group.bytes)

    def sizes(self) -> tuple[int, int]:
        """About."""
        total = self._answers.total()
        return total, total

    def delete_older(self, moment: float) -> int:
        """See `Shelf`; those not used since."""
        return self._answers.delete_unused(moment)

    def keep_within(self, budget: int) -> int:
        """See `Shelf`; those first that were not used for the longest time."""
        return self._answers.keep_within(budget)

    def clear(self) -> int:
        """See `Shelf`."""
        return self.delete_older(_ALL_TIME)

    def nearest(self, parts: Mapping[str, str], *, with_prompt: bool) -> list[Nearest]:
        """See `Shelf`."""
        kept = (
            (one.answers - one.rejected, orjson.loads(one.parts))
            for one in self._answers.requests()
            if one.answers > one.rejected
        )
        return housekeeping.nearest(kept, parts, with_prompt=with_prompt)
