"""The journal of a run, for any reader: reading needs no lease and no epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.broker.connection import Argument, Connection
from common.errors import RunError, WireError
from common.protocol.batch import Entry
from common.protocol.fields import number
from common.protocol.keys import Keys
from common.protocol.wire import decode_entry, message_of


@dataclass(frozen=True, slots=True)
class Journaled:
    """An entry of the journal and its position, dense from 1."""

    position: int
    entry: Entry


class Journal:
    """Reads the journal of one run; only workers and the coordinator (`Control`) write to it."""

    def __init__(self, connection: Connection, run_id: str) -> None:
        self.run_id = run_id
        self._connection = connection
        self._keys = Keys(run_id)

    def read(self, after: int, count: int, block: float = 0.0) -> list[Journaled]:
        """Entries after position `after`; waits up to `block` seconds for the first one.

        Raises:
            RunError: the journal has a gap, so the broker lost data.
            WireError: it has an entry that Penstock did not write.
        """
        waiting: list[Argument] = ["BLOCK", max(1, round(block * 1000))] if block else []
        reply = self._connection.command("XREAD", "COUNT", count, *waiting, "STREAMS", self._keys.journal, f"{after}-0")
        read = []
        for entry_id, fields in reply[0][1] if reply else []:
            after += 1
            try:
                entry = decode_entry(message_of(fields))
            except WireError as error:
                raise self.foreign_entry(entry_id.decode(), str(error)) from None
            if entry_id != b"%d-0" % after:
                raise RunError(
                    f"the journal of run '{self.run_id}' continues with entry {entry_id.decode()} but has no entry "
                    f"{after}: the broker lost data; start over with --fresh"
                )
            read.append(Journaled(after, entry))
        return read

    def foreign_entry(self, entry: int | str, problem: str) -> WireError:
        """The error about a journal entry that Penstock did not write: nothing after it can be trusted."""
        return WireError(
            f"entry {entry} of the journal {self._keys.journal} is not what this version of Penstock writes: "
            f"{problem}. Another program has written to the broker; keep it out, and start over with --fresh"
        )

    def position(self) -> int:
        """The position of its last entry; 0 if it is empty."""
        return number(self._connection.command("HGET", self._keys.progress, "position"), "position")

    def marks(self, steps: Sequence[str]) -> tuple[int, int, dict[str, int]]:
        """Position of the journal, cursor, and batches sent per step: they tell which effects need no repetition."""
        position = self.position()
        cursor, *sent = self._connection.command("HMGET", self._keys.run, "cursor", *(f"sent:{step}" for step in steps))
        return (
            position,
            number(cursor, "cursor"),
            {step: number(held, f"sent:{step}") for step, held in zip(steps, sent, strict=True)},
        )
