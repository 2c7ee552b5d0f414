"""Workers' reports to the run directory through the broker: log records and dead letters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from common.broker.connection import Connection
from common.broker.consumer import Consumer
from common.errors import WireError
from common.protocol.batch import DeadLetter
from common.protocol.keys import Keys
from common.protocol.wire import decode_letters, message_of

AT_ONCE = 1_000
BYTES_AT_ONCE = 16_000_000
"""Approximate; rows of dead letters may have 64 MB each."""
LOG_LENGTH = 20_000
LOG_BYTES = 16_000_000
"""Most log records that wait for the coordinator; older ones are dropped and counted."""

logger = logging.getLogger(__name__)


class Reports:
    """Reads the heads of both streams; entries are dropped once they are written to disk."""

    def __init__(self, connection: Connection, run_id: str) -> None:
        self.keys = Keys(run_id)
        self._connection = connection
        self._at_once = {self.keys.log: AT_ONCE, self.keys.failed: 8}
        self.more = False
        """May there be more entries than the last call read?"""

    def log(self) -> list[tuple[str, dict[bytes, bytes]]]:
        """The oldest log records, by entry."""
        return self._head(self.keys.log)

    def letters(self, complain: Callable[[str], None] = logger.warning) -> tuple[list[DeadLetter], list[str]]:
        """The oldest dead letters, and all entries read, to drop; `complain` is told about invalid ones."""
        entries = self._head(self.keys.failed)
        letters = []
        for entry, fields in entries:
            try:
                letters += decode_letters(message_of(fields))
            except WireError as error:
                complain(f"entry {entry} of {self.keys.failed} is not a dead letter and is dropped: {error}")
        return letters, [entry for entry, _ in entries]

    def drop(self, stream: str, entries: Sequence[str]) -> None:
        """Deletes entries that are written to disk."""
        if entries:
            self._connection.command("XDEL", stream, *entries)

    def _head(self, stream: str) -> list[tuple[str, dict[bytes, bytes]]]:
        count = self._at_once[stream]
        entries = self._connection.command("XRANGE", stream, "-", "+", "COUNT", count)
        size = sum(len(value) for _, fields in entries for value in fields.values())
        fitting = count * BYTES_AT_ONCE // max(1, size)
        self._at_once[stream] = max(1, min(AT_ONCE, 8 * count, fitting))
        self.more = len(entries) == count
        return [(entry.decode(), fields) for entry, fields in entries]


class LogLines:
    """One worker's way to the log of the run."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def send(self, lines: Sequence[bytes]) -> int:
        """Sends log records to the run directory; returns how many older ones were dropped to make room."""
        return self._consumer.write("report", [self._consumer.keys.log], LOG_LENGTH, LOG_BYTES, *lines) - 1
