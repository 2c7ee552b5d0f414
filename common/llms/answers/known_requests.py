"""What is known of the requests in a file of answers without asking the file for each of them."""

from __future__ import annotations

import sqlite3
import time
from collections import OrderedDict

SECONDS = 0.1
MOST = 200_000
"""Requests to know of, some 80 bytes each; a larger file is asked for each request."""
_REMEMBERED = 4_096
_BYTES = 8
_NEWEST = "SELECT coalesce(max(id), 0) FROM answers"
_NEW = f"SELECT substr(request, 1, {_BYTES}) FROM answers WHERE id > ? AND id <= ?"
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM answers LIMIT ?)"


class KnownRequests:
    """As of the last tenth of a second: what others wrote since is not known yet.

    Most requests are new, and asking SQLite for one takes Python's lock from the event loop and gives it back.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        (count,) = connection.execute(_COUNT, (MOST + 1,)).fetchone()
        self._connection = connection
        self._heads: set[bytes] | None = set() if count <= MOST else None
        self._last = 0
        self._look_at = 0.0
        self._claimed: OrderedDict[bytes, int] = OrderedDict()

    def add(self, key: bytes) -> None:
        """One that this process writes."""
        if self._heads is not None:
            self._heads.add(key[:_BYTES])

    def may_have(self, key: bytes) -> bool:
        """False if the file had no answer to the request at the last look. Raises sqlite3.Error."""
        if self._heads is None:
            return True
        if (now := time.monotonic()) >= self._look_at:
            self._look_at = now + SECONDS
            if not self._look(self._heads):
                self._heads = None
                return True
        return key[:_BYTES] in self._heads

    def claimed_up_to(self, key: bytes) -> int:
        """All answers to the request up to this one are claimed by places of the run, or rejected; 0 for none."""
        return self._claimed.get(key, 0)

    def note_claimed(self, key: bytes, answer: int) -> None:
        """See `claimed_up_to`; the requests noted longest ago are forgotten."""
        self._claimed[key] = answer
        if len(self._claimed) > _REMEMBERED:
            self._claimed.popitem(last=False)

    def _look(self, heads: set[bytes]) -> bool:
        """Learns what is new; False if there are too many."""
        (newest,) = self._connection.execute(_NEWEST).fetchone()
        if newest < self._last:  # all were deleted, and numbers begin again
            self._last = 0
        if newest > self._last:
            heads.update(head for (head,) in self._connection.execute(_NEW, (self._last, newest)))
            self._last = newest
        return len(heads) <= MOST
