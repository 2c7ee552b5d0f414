"""Chunks of a large output, stored ahead of the commit that links them."""

from __future__ import annotations

from collections.abc import Sequence

from common.broker.consumer import Consumer
from common.broker.inbox import Taken
from common.protocol.batch import Payload
from common.protocol.keys import GROUP, KEYS_PER_CALL


class Staging:
    """The staging of one worker: only the owner of an entry stores chunks for it."""

    def __init__(self, consumer: Consumer) -> None:
        self._connection = consumer.connection
        self._keys = consumer.keys
        self._stream = consumer.stream
        self._worker_id = consumer.worker_id

    def stage(self, taken: Taken, payload: Payload, data: bytes) -> None:
        """Stores one chunk of a global step's output ahead of the commit that links it, if this worker owns the entry.

        Raises:
            BrokerFull: there is no room for it.
        """
        keys = [self._stream, self._keys.payload(payload.step, payload.seq, payload.attempt), self._keys.progress]
        self._connection.call("stage", keys, GROUP, self._worker_id, taken.entry, data)

    def unstage(self, taken: Taken, payloads: Sequence[Payload]) -> None:
        """Frees chunks that no commit will link, if this worker owns the entry."""
        keys = [self._keys.payload(payload.step, payload.seq, payload.attempt) for payload in payloads]
        for first in range(0, len(keys), KEYS_PER_CALL):
            some = [self._stream, *keys[first : first + KEYS_PER_CALL]]
            self._connection.call("unstage", some, GROUP, self._worker_id, taken.entry)
