"""The answers kept on this host, as one worker uses them. Any error switches them off; a row never fails for them."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zstandard

from common.llms.answers.database import UnknownFormat, connect, is_busy, transaction
from common.llms.answers.group_commit import GroupCommit
from common.llms.answers.housekeeping import keep_within
from common.llms.answers.inserts import New, insert
from common.llms.answers.kept import Found, Kept, Place
from common.llms.answers.known_requests import KnownRequests
from common.llms.answers.request_key import Family
from common.llms.answers.values import Values

_WAIT, _WAIT_OF_WRITES = 2.0, 30.0
"""Seconds to wait for another process that writes: on the event loop, and in the thread that commits."""

_NEWEST = "SELECT max(id) FROM answers WHERE request = ?"
_OWN = (
    "SELECT a.id, a.reply, a.digest, a.run, a.rejected, c.attempt, a.request FROM claims c "
    "LEFT JOIN answers a ON a.id = c.answer WHERE c.claimant = ?"
)
_FORGET = "DELETE FROM claims WHERE claimant = ?"
_UNCLAIMED = (
    "FROM answers a WHERE request = ? AND id > ? AND NOT rejected "
    "AND NOT EXISTS (SELECT 1 FROM claims WHERE run = ? AND answer = a.id) ORDER BY id LIMIT 1"
)
_IS_ANY_UNCLAIMED = f"SELECT 1 {_UNCLAIMED}"
_FIRST_UNCLAIMED = f"SELECT id, reply, digest, run {_UNCLAIMED}"
_CLAIM = (
    "INSERT INTO claims (claimant, run, answer, attempt) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (claimant) DO UPDATE SET answer = excluded.answer, attempt = excluded.attempt"
)
_REJECT = "UPDATE answers SET rejected = 1 WHERE id = ?"

logger = logging.getLogger("penstock.llm")


class AnswerStore:
    """The store of one worker. `find`, `keep` and `reject` are called on its event loop.

    Args:
        file: created if it does not exist.
        run, begun: identify the run.
        budget: bytes above which the oldest answers are deleted when the store is opened.
    """

    def __init__(self, file: Path, run: str, begun: str, budget: int) -> None:
        self.file = file
        self.run = (run, begun)
        self._budget = budget
        self._run_number = 0
        self._reads: sqlite3.Connection | None = None
        self._known: KnownRequests | None = None
        self._writer: GroupCommit[New | Kept] | None = None
        self._writes: sqlite3.Connection | None = None
        self._uncommitted: dict[bytes, New] = {}
        self._values = Values()
        self._lock = threading.RLock()
        self._is_off = False

    def close(self) -> None:
        """Commits what is kept."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._is_off = True
        for connection in (self._reads, self._writes):
            if connection is not None:
                connection.close()
        self._reads = self._writes = None

    def _open(self) -> None:
        """Opens the file, with the first question: never before a fork, and not for a step that asks nothing."""
        try:
            self._reads = connect(self.file, _WAIT)
            self._run_number = _number_of(self._reads, self.run)
            self._known = KnownRequests(self._reads)
            self._writes = connect(self.file, _WAIT_OF_WRITES)
        except (sqlite3.Error, OSError, UnknownFormat) as error:
            self._turn_off(error)
            return
        self._writer = GroupCommit(self._keep_within_budget, self._commit)
        self._writer.start()

    async def find(self, key: bytes, place: Place) -> Found | None:
        """The answer that this place has had before, else one to the request that no place of this run has."""
        if self._reads is None and not self._is_off:
            with self._lock:
                if self._reads is None and not self._is_off:
                    self._open()
        if self._is_off:
            return None
        try:
            with self._lock:  # a step that takes batches may ask from several threads
                return self._find(key, place)
        except sqlite3.Error as error:
            if not is_busy(error):
                self._turn_off(error)
            return None

    def keep(self, key: bytes, place: Place, family: Family, request: Mapping[str, Any], reply: bytes) -> Kept:
        """Keeps a new answer, for this place. Does not wait for the disk."""
        new = New(key, place, family, request, reply)
        if not self._is_off and self._writer is not None:
            self._uncommitted[place.claimant] = new
            if self._known is not None:
                self._known.add(key)
            self._writer.put(new)
        return new.kept

    def reject(self, kept: Kept) -> None:
        """No row can keep this answer: only its own place is given it again, when its batch runs again."""
        if not kept.rejected:
            kept.rejected = True
            if not self._is_off and self._writer is not None:
                self._writer.put(kept)

    def _find(self, key: bytes, place: Place) -> Found | None:
        assert self._reads is not None
        assert self._known is not None
        new = self._uncommitted.get(place.claimant)
        if new is not None and (found := new.found_by(place)) is not None:
            return found
        if not self._known.may_have(key):
            return None
        (newest,) = self._reads.execute(_NEWEST, (key,)).fetchone()
        if newest is None:
            return None
        own = self._reads.execute(_OWN, (place.claimant,)).fetchone()
        if own is not None and own[-1] != key:  # its answer was deleted, and another one may have its number
            self._reads.execute(_FORGET, (place.claimant,))
        elif own is not None:
            answer, reply, digest, run, rejected, attempt, _ = own
            if (not rejected or attempt == place.attempt) and (text := self._values.unpack(digest, reply)) is not None:
                return Found(text, run == self._run_number, Kept(answer, bool(rejected)))
        if newest <= self._known.claimed_up_to(key):
            return None
        return self._claim(self._reads, self._known, key, place, newest)

    def _claim(
        self, reads: sqlite3.Connection, known: KnownRequests, key: bytes, place: Place, newest: int
    ) -> Found | None:
        after = known.claimed_up_to(key)
        looked_at = (key, after, self._run_number)
        if reads.execute(_IS_ANY_UNCLAIMED, looked_at).fetchone() is None:  # without keeping others from writing
            known.note_claimed(key, newest)
            return None
        with transaction(reads):
            while (row := reads.execute(_FIRST_UNCLAIMED, looked_at).fetchone()) is not None:
                answer, reply, digest, run = row
                if (text := self._values.unpack(digest, reply)) is None:
                    reads.execute(_REJECT, (answer,))
                    continue
                reads.execute(_CLAIM, (place.claimant, self._run_number, answer, place.attempt))
                known.note_claimed(key, answer)
                return Found(text, run == self._run_number, Kept(answer))
        return None

    def _keep_within_budget(self) -> None:
        assert self._writes is not None
        try:
            keep_within(self._writes, self._budget)
        except sqlite3.Error as error:
            if not is_busy(error):
                self._turn_off(error)

    def _commit(self, items: Sequence[New | Kept]) -> None:
        """In the writer's thread."""
        if self._is_off or self._writes is None:
            return
        try:
            with transaction(self._writes):
                if news := [item for item in items if isinstance(item, New)]:
                    insert(self._writes, self._run_number, news, self._values)
                for item in items:
                    if isinstance(item, Kept) and item.id is not None:
                        self._writes.execute(_REJECT, (item.id,))
        except (sqlite3.Error, zstandard.ZstdError) as error:
            self._turn_off(error)
            return
        for new in news:
            if self._uncommitted.get(new.place.claimant) is new:
                del self._uncommitted[new.place.claimant]

    def _turn_off(self, error: Exception) -> None:
        with self._lock:
            was_on, self._is_off = not self._is_off, True
        self._uncommitted.clear()
        if was_on:
            logger.warning(
                "the answers kept in %s cannot be used, so every question is asked: %s; the run continues without them",
                self.file,
                error,
            )


def _number_of(connection: sqlite3.Connection, run: tuple[str, str]) -> int:
    now = int(time.time())
    with transaction(connection):
        connection.execute(
            "INSERT INTO runs (name, begun, used) VALUES (?, ?, ?) ON CONFLICT (name, begun) DO UPDATE SET used = ?",
            (*run, now, now),
        )
        (number,) = connection.execute("SELECT id FROM runs WHERE name = ? AND begun = ?", run).fetchone()
    return int(number)
