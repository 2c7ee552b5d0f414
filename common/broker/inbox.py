"""The sources of a worker's batches: new entries of its step's stream, its own unfinished ones, those of others."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from common.broker.connection import Argument, raise_first
from common.broker.consumer import Consumer
from common.broker.held import holders
from common.errors import PayloadMissing, WireError
from common.protocol.batch import Batch, DeadLetter
from common.protocol.keys import GROUP, HANDED_BACK
from common.protocol.wire import decode_batch, decode_pointer, encode_letters, is_pointer, message_of

MOST_HELD = 1_000
"""Most entries that a worker may have in hand."""
SHOWN_BYTES = 64
"""Bytes that a dead letter shows of an entry that is not a batch."""

logger = logging.getLogger("penstock.worker")


@dataclass(frozen=True, slots=True)
class Taken:
    """An entry that is pending for this worker.

    Args:
        entry: its id in the step's stream.
        deliveries: how many workers have had it, this one included.
        broken: why its inputs are unknown, if they are.
    """

    entry: str
    batch: Batch
    deliveries: int
    broken: PayloadMissing | WireError | None = None


class Inbox:
    """One worker's inbox: it takes entries and hands back those not run. Whoever takes an entry owns it."""

    def __init__(self, consumer: Consumer) -> None:
        self._connection = consumer.connection
        self._keys = consumer.keys
        self._stream = consumer.stream
        self._step = consumer.step
        self._worker_id = consumer.worker_id

    def read(self, count: int, block: float) -> list[Taken]:
        """New entries, at most `count`; waits up to `block` seconds. Never retry it: the reply may be lost.

        Raises:
            Disconnected: what was read is pending for this worker; `pending` finds it.
        """
        waiting: list[Argument] = ["BLOCK", max(1, round(block * 1000))] if block else []
        reply = self._connection.command(
            "XREADGROUP", "GROUP", GROUP, self._worker_id, "COUNT", count, *waiting, "STREAMS", self._stream, ">"
        )
        entries = reply[0][1] if reply else []
        return self._batches((entry.decode(), fields, 1) for entry, fields in entries if fields)

    def pending(self, known: Container[str] = ()) -> list[Taken]:
        """The entries that the broker holds for this worker, except those that the worker knows of.

        Not by XREADGROUP: rereading its own entries would count as another delivery of each.
        """
        held = self._connection.pending(self._stream, GROUP, MOST_HELD, self._worker_id)
        unknown = [one for one in held if one.entry not in known]
        replies = self._connection.batch([("XRANGE", self._stream, one.entry, one.entry) for one in unknown])
        raise_first(replies)
        return self._batches(
            (one.entry, reply[0][1], one.deliveries) for one, reply in zip(unknown, replies, strict=True) if reply
        )

    def silent_workers(self) -> dict[str, int]:
        """Other workers without a lease, with the number of entries that each holds."""
        reply = self._connection.command("XPENDING", self._stream, GROUP)
        held = {name: entries for name, entries in holders(reply).items() if name != self._worker_id}
        leases = self._connection.batch([("EXISTS", self._keys.worker(worker)) for worker in held])
        return {worker: held[worker] for worker, lease in zip(held, leases, strict=True) if not lease}

    def claim_handed_back(self, count: int) -> list[Taken]:
        """Takes entries handed back by other workers, oldest first."""
        return self.claim(HANDED_BACK, count)

    def claim(self, worker: str, count: int) -> list[Taken]:
        """Takes over entries of a worker that is dead or was found silent twice."""
        entries = [held.entry for held in self._connection.pending(self._stream, GROUP, count, worker)]
        if not entries:
            return []
        reply = self._connection.call(
            "claim", [self._stream, self._keys.worker(worker)], GROUP, self._worker_id, worker, *entries
        )
        return self._batches(
            (entry.decode(), dict(zip(flat[::2], flat[1::2], strict=True)), int(deliveries))
            for entry, flat, deliveries in reply
        )

    def hand_back(self, taken: Sequence[Taken]) -> None:
        """Hands back entries that were not run, for any worker to claim; this delivery does not count."""
        entries = [one.entry for one in taken]
        self._connection.call("hand_back", [self._stream], GROUP, self._worker_id, HANDED_BACK, *entries)

    def _batches(self, entries: Iterable[tuple[str, Mapping[bytes, bytes], int]]) -> list[Taken]:
        """The content of entries pending for this worker. An entry that is not a batch is removed from the stream."""
        taken = []
        for entry, fields, deliveries in entries:
            try:
                taken.append(self._read_fields(entry, fields, deliveries))
            except WireError as error:
                self._discard(entry, fields, error)
        return taken

    def _read_fields(self, entry: str, fields: Mapping[bytes, bytes], deliveries: int) -> Taken:
        message = message_of(fields)
        if not is_pointer(message):
            return Taken(entry, decode_batch(self._step, message), deliveries)
        batch = decode_pointer(self._step, message)
        manifest = self._keys.manifest(self._step, batch.seq, batch.attempt)
        try:
            stored = self._connection.command("GET", manifest)
            if stored is None:  # lost, or done by another worker by now: the commit will show which
                return Taken(entry, batch, deliveries, PayloadMissing(manifest))
            found = decode_batch(self._step, stored)
            if (found.seq, found.attempt) != (batch.seq, batch.attempt):
                raise WireError(f"it is of batch {found.seq}, attempt {found.attempt}")
        except WireError as error:
            return Taken(entry, batch, deliveries, WireError(f"{manifest} cannot be read: {error}"))
        return Taken(entry, found, deliveries)

    def _discard(self, entry: str, fields: Mapping[bytes, bytes], error: WireError) -> None:
        """Removes an entry that no worker could read."""
        shown = b" ".join(name + b"=" + value[:SHOWN_BYTES] for name, value in fields.items())[:SHOWN_BYTES]
        what = f"entry {entry} of {self._stream} is not a batch: {error} (it begins with {shown.hex(' ')})"
        logger.error("%s; it was removed", what)
        milliseconds, _, number = entry.partition("-")
        # There is no row, so the place is the entry's own number, which keeps dead letters distinct.
        letter = DeadLetter(self._step, int(milliseconds), 0, int(number), what, 1, self._worker_id)
        keys = [self._stream, self._keys.failed, self._keys.progress]
        self._connection.call("discard", keys, GROUP, self._worker_id, entry, *encode_letters([letter]))
