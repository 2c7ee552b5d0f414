"""Reads the rows of batches from their payloads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

from common.errors import PayloadLost, WireError
from common.payloads.source import PayloadSource
from common.protocol.batch import Batch, Payload, Slice
from common.protocol.codec import Row, decode_rows

Rows = list[Row | None]
PAYLOADS_AT_ONCE = 256
"""Payloads requested in one round trip; a global step has many thousands."""
KEPT_ROWS = 100_000
"""Rows of partly read payloads kept for coming batches."""


class PayloadReader:
    """Reads the inputs of batches, several batches in one round trip.

    A payload may be larger than a batch's slice of it. The rest is kept, and each row is handed out once,
    since a step may change what it is given.
    """

    def __init__(self, source: PayloadSource) -> None:
        self._source = source
        self._rests: OrderedDict[Payload, dict[int, Row | None]] = OrderedDict()
        self._rest_rows = 0
        self._lock = threading.Lock()
        self.bytes_read = 0
        """Of payloads, in all."""

    def read(self, batches: Sequence[Batch]) -> list[list[Rows] | PayloadLost]:
        """Per batch one list of rows per predecessor, holes in place; or the error.

        Raises:
            WireError: a payload lacks rows that the journal refers to.
            StoreError: the payload store cannot be read.
        """
        with self._lock:
            return self._read(batches)

    def forget(self) -> None:
        """Drops everything read so far: a broker that has lost its last writes may get different rows instead."""
        with self._lock:
            self._rests.clear()
            self._rest_rows = 0

    def _read(self, batches: Sequence[Batch]) -> list[list[Rows] | PayloadLost]:
        slices = [piece for batch in batches for source in batch.inputs for piece in source.slices]
        first = slices[:PAYLOADS_AT_ONCE]
        found = self._fetch([piece.payload for piece in first if not self._in_rest(piece)])
        return [self._assemble(batch, found) for batch in batches]

    def _assemble(self, batch: Batch, found: dict[Payload, Rows | PayloadLost]) -> list[Rows] | PayloadLost:
        inputs: list[Rows] = []
        for source in batch.inputs:
            rows: Rows = []
            for place, piece in enumerate(source.slices):
                if piece.payload not in found and not self._in_rest(piece):
                    ahead = source.slices[place : place + PAYLOADS_AT_ONCE]
                    found |= self._fetch([later.payload for later in ahead])
                part = self._cut(piece, found)
                if isinstance(part, PayloadLost):
                    return part
                if len(part) < piece.rows:
                    raise WireError(f"payload {self._source.name(piece.payload)} has fewer rows than the journal says")
                rows.extend(part)
            inputs.append(rows)
        return inputs

    def _fetch(self, payloads: Sequence[Payload]) -> dict[Payload, Rows | PayloadLost]:
        stored = self._source.fetch(payloads)
        self.bytes_read += sum(len(data) for data in stored.values() if isinstance(data, bytes))
        return {
            payload: data if isinstance(data, PayloadLost) else decode_rows(data) for payload, data in stored.items()
        }

    def _in_rest(self, piece: Slice) -> bool:
        rest = self._rests.get(piece.payload)
        return rest is not None and piece.start in rest and piece.stop - 1 in rest

    def _cut(self, piece: Slice, found: dict[Payload, Rows | PayloadLost]) -> Rows | PayloadLost:
        rows = found.get(piece.payload)
        if isinstance(rows, PayloadLost):
            return rows  # for every batch that needs it
        if rows is not None:
            del found[piece.payload]
            if piece.stop < len(rows):
                self._keep(piece, rows)
            return rows[piece.start : piece.stop]
        rest = self._rests[piece.payload]
        cut = [rest.pop(place) for place in range(piece.start, piece.stop)]
        self._rest_rows -= piece.rows
        if not rest:
            del self._rests[piece.payload]
        return cut

    def _keep(self, piece: Slice, rows: Rows) -> None:
        self._rest_rows -= len(self._rests.pop(piece.payload, ()))
        self._rests[piece.payload] = dict(enumerate(rows[piece.stop :], piece.stop))
        self._rest_rows += len(rows) - piece.stop
        while self._rest_rows > KEPT_ROWS and len(self._rests) > 1:
            _, oldest = self._rests.popitem(last=False)
            self._rest_rows -= len(oldest)
