"""Where the rows of leaves go in a run of the fold."""

from __future__ import annotations

from random import Random

from common.protocol.batch import PartWritten, Payload
from coordinator.fold.effects import Emit
from coordinator.plan.plan import Plan
from tests.support.fold.payload_store import PayloadStore
from tests.support.fold.sequential_interpreter import Row


class Sink:
    """Buffers what is emitted, and writes it in parts.

    Attributes:
        leaves: rows written, per leaf.
    """

    def __init__(self, plan: Plan, payloads: PayloadStore) -> None:
        self.leaves: dict[str, list[Row]] = {name: [] for name in plan.leaves}
        self._payloads = payloads
        self._written: dict[str, int] = dict.fromkeys(plan.leaves, -1)
        self._buffers: dict[str, list[Emit]] = {name: [] for name in plan.leaves}

    @property
    def has_unwritten(self) -> bool:
        return any(self._buffers.values())

    def emit(self, effect: Emit) -> None:
        payload = effect.payload
        buffer = self._buffers[payload.step]
        last = buffer[-1].payload.seq if buffer else self._written[payload.step]
        assert payload.seq > last, f"emitted out of order: {payload}"
        assert effect.rows == len(self._payloads.read(payload))
        buffer.append(effect)

    def has_written(self, payload: Payload) -> bool:
        return payload.seq <= self._written[payload.step]

    def write(self, random: Random) -> PartWritten:
        """Writes the head of a leaf's buffer; the range of seqs that the part covers is deleted with its entry."""
        leaf = random.choice([name for name, buffer in self._buffers.items() if buffer])
        buffer = self._buffers[leaf]
        count = random.randint(1, len(buffer))
        part, self._buffers[leaf] = buffer[:count], buffer[count:]
        rows = [row for emit in part for row in self._payloads.read(emit.payload) if row is not None]
        self.leaves[leaf].extend(rows)
        first, last = part[0].payload.seq, part[-1].payload.seq
        covered = {payload for payload in self._payloads.kept if payload.step == leaf and first <= payload.seq <= last}
        assert {emit.payload for emit in part} <= covered
        for emit in part:
            if emit.payload.external is None:  # files are released by the fold
                self._payloads.delete(emit.payload)
        self._written[leaf] = last
        return PartWritten(leaf, first, last, f"{leaf}-{first}", len(rows), 0, "", b"")

    def forget(self) -> None:
        """The coordinator is dead: what it had not written is emitted again."""
        self._buffers = {name: [] for name in self._buffers}
