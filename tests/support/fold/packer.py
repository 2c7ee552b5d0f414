"""The output of workers, in a run of the fold, on its way to the payload store."""

from __future__ import annotations

from random import Random

from common.payloads.names import make_name
from common.protocol.batch import Chunk, Payload
from coordinator.plan.plan import Plan
from tests.support.fold.payload_store import PayloadStore
from tests.support.fold.sequential_interpreter import Program, Rows

Routes = tuple[tuple[str, ...], ...]
"""For each chunk of an output, where it goes."""


class Packer:
    """Makes payloads of the output of steps, some of them in files."""

    def __init__(self, plan: Plan, programs: dict[str, Program], payloads: PayloadStore, random: Random) -> None:
        self._plan = plan
        self._programs = programs
        self.payloads = payloads
        self._random = random

    def pack(self, name: str, seq: int, attempt: int, rows: Rows) -> tuple[tuple[Chunk, ...], Routes | None]:
        """Stores an output, that of a global step in chunks, and routes each by its rows where its program does so.

        Without rows there is nothing to store.
        """
        step, program = self._plan.steps[name], self._programs[name]
        chunks: list[Chunk] = []
        routed: list[tuple[str, ...]] = []
        while rows:
            size = len(rows)
            if step.kind == "global":
                size = step.batch_size if step.routed else self._random.randint(1, len(rows))
                seq = len(chunks)
            external = make_name(name, seq, attempt, b"") if self._random.random() < 0.2 else None
            head, rows = rows[:size], rows[size:]
            size = len(head)
            self.payloads.add(Payload(name, seq, attempt, external), head)
            chunks.append(Chunk(size, 1 + 8 * size, external))
            routed.append(program.successors(seq, head, self._plan.successors(name)))
        in_worker = step.routed and program.choose_by_rows is not None
        return tuple(chunks), tuple(routed) if in_worker else None
