"""What is in a file of kept answers, and how it is kept small."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import orjson

from common.llms.answers.database import transaction
from common.llms.answers.request_key import is_of_the_prompt

_AT_A_TIME = 100
"""Answers deleted in one transaction, so that runs need not wait long."""
_ROOM = 0.9
"""Share of the budget that is left in use."""


@dataclass(frozen=True, slots=True)
class Group:
    """The answers of one model.

    Args:
        bytes: of their replies, compressed.
        first, last: when the first and the last one were made, in seconds since 1970.
        rejected: how many no row could keep.
    """

    model: str
    answers: int
    bytes: int
    first: float
    last: float
    rejected: int


@dataclass(frozen=True, slots=True)
class Nearest:
    """Kept answers to requests that differ in the same parts from the one in question.

    Args:
        differs: part -> its value there and its value here; None where there is none.
    """

    answers: int
    differs: Mapping[str, tuple[str | None, str | None]]


def groups(connection: sqlite3.Connection) -> list[Group]:
    """By model, the largest first."""
    rows = connection.execute(
        "SELECT model, count(*), sum(length(reply)), min(made), max(made), sum(rejected) FROM answers "
        "GROUP BY model ORDER BY 3 DESC"
    )
    return [Group(*row) for row in rows]


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file that are in use."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * size)


def keep_within(connection: sqlite3.Connection, budget: int) -> int:
    """Deletes the oldest answers if the file is larger than the budget; returns how many."""
    if used_bytes(connection) <= budget:
        return 0
    deleted = 0
    while used_bytes(connection) > budget * _ROOM:
        done = _delete(connection, "1")
        if not done:
            break
        deleted += done
    _delete_lost_claims(connection)
    return deleted


def delete_older(connection: sqlite3.Connection, moment: float) -> int:
    """Deletes answers made before a moment, in seconds since 1970; returns how many."""
    deleted = 0
    while done := _delete(connection, "made < ?", int(moment)):
        deleted += done
    _delete_lost_claims(connection)
    return deleted


def shrink(connection: sqlite3.Connection) -> None:
    """Gives the space of what was deleted back to the disk."""
    connection.executescript("PRAGMA incremental_vacuum")  # `execute` would do the first step of it
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def nearest(
    requests: Iterable[tuple[int, Mapping[str, str]]], parts: Mapping[str, str], *, with_prompt: bool
) -> list[Nearest]:
    """The kept requests that differ least from one, as many parts differ.

    Args:
        requests: how many answers to each may be used, and its parts.
        parts: of the request in question, see `parts_of`.
        with_prompt: compare the prompts as well.
    """
    found: dict[tuple[tuple[str, tuple[str | None, str | None]], ...], int] = {}
    for answers, kept in requests:
        differs = tuple(
            (part, (kept.get(part), parts.get(part)))
            for part in dict.fromkeys((*kept, *parts))
            if kept.get(part) != parts.get(part) and (with_prompt or not is_of_the_prompt(part))
        )
        found[differs] = found.get(differs, 0) + answers
    least = min(map(len, found), default=0)
    return [
        Nearest(answers, dict(differs))
        for differs, answers in sorted(found.items(), key=lambda item: -item[1])
        if len(differs) == least
    ]


def requests(connection: sqlite3.Connection) -> Iterator[tuple[int, dict[str, str]]]:
    """How many answers to a request may be used, and its parts."""
    for answers, parts in connection.execute("SELECT count(*), parts FROM answers WHERE NOT rejected GROUP BY parts"):
        yield answers, orjson.loads(parts)


def _delete(connection: sqlite3.Connection, condition: str, *values: int) -> int:
    """Deletes some of the oldest that meet the condition."""
    oldest = f"SELECT id FROM answers WHERE {condition} ORDER BY id LIMIT {_AT_A_TIME}"
    with transaction(connection):
        return connection.execute(f"DELETE FROM answers WHERE id IN ({oldest})", values).rowcount


def _delete_lost_claims(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        connection.execute("DELETE FROM claims WHERE answer < (SELECT coalesce(min(id), 1 << 62) FROM answers)")
        connection.execute(
            "DELETE FROM runs WHERE id NOT IN (SELECT run FROM claims) AND id NOT IN (SELECT run FROM answers) "
            "AND used < strftime('%s') - 30 * 86400"
        )
