"""Notes about a batch that runs row by row, for the next worker."""

from __future__ import annotations

from common.broker.connection import Argument
from common.broker.consumer import Consumer
from common.broker.inbox import Taken
from common.protocol.batch import Batch
from common.protocol.keys import GROUP


class IsolationNotes:
    """The notes of one worker: only the owner of an entry may write any."""

    def __init__(self, consumer: Consumer) -> None:
        self._connection = consumer.connection
        self._keys = consumer.keys
        self._stream = consumer.stream
        self._step = consumer.step
        self._worker_id = consumer.worker_id

    def read(self, batch: Batch) -> dict[str, bytes]:
        """Earlier workers' notes about a batch that runs row by row."""
        flat = self._connection.command("HGETALL", self._keys.isolation(self._step, batch.seq, batch.attempt))
        return {key.decode(errors="replace"): value for key, value in flat.items()}

    def note(self, taken: Taken, **fields: Argument) -> bool:
        """Notes fields of an isolated batch; False if the entry no longer belongs to this worker."""
        flat = [part for pair in fields.items() for part in pair]
        batch = taken.batch
        keys = [self._stream, self._keys.isolation(self._step, batch.seq, batch.attempt), self._keys.progress]
        return bool(self._connection.call("isolate", keys, GROUP, self._worker_id, taken.entry, *flat))
