"""Where the rows of a run of the fold are kept."""

from __future__ import annotations

from common.protocol.batch import Payload
from tests.support.fold.sequential_interpreter import Rows


class PayloadStore:
    """Rows by payload. No payload is overwritten, and none deleted twice."""

    def __init__(self) -> None:
        self._rows: dict[Payload, Rows] = {}
        self._written: set[tuple[str, int, int]] = set()
        self._deleted: set[Payload] = set()

    @property
    def kept(self) -> frozenset[Payload]:
        return frozenset(self._rows)

    def add(self, payload: Payload, rows: Rows) -> None:
        written = (payload.step, payload.seq, payload.attempt)
        assert written not in self._written, "a payload is never overwritten"
        self._written.add(written)
        self._rows[payload] = rows

    def read(self, payload: Payload, start: int = 0, stop: int | None = None) -> Rows:
        return self._rows[payload][start:stop]

    def delete(self, payload: Payload) -> None:
        assert payload not in self._deleted, f"released twice: {payload}"
        del self._rows[payload]
        self._deleted.add(payload)

    def was_deleted(self, payload: Payload) -> bool:
        return payload in self._deleted
