"""Turns outputs of leaves into parts in the run directory: reads, buffers, writes, and only then journals and frees."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, count, islice
from pathlib import Path

from common.broker.control import Control
from common.errors import PayloadLost, WireError
from common.payloads.source import PayloadSource
from common.payloads.stores import FileStore
from common.protocol.batch import DeadLetter, PartWritten, Payload
from common.protocol.codec import decode_rows
from common.settings import Settings
from coordinator.dataset.leaf_schema import LeafSchema
from coordinator.dataset.part_check import check_parts
from coordinator.dataset.parts import LeafWriter, Part
from coordinator.fold.effects import Emit
from coordinator.runs.failures import WRITER

READ_AT_ONCE = 64
READ_BYTES = 16 << 20
"""Payloads per round trip, and their bytes, unless a single one is larger."""


@dataclass(frozen=True, slots=True)
class Buffered:
    """A payload whose rows are in a writer's buffer. `places`: the positions of its whole rows; empty without holes."""

    payload: Payload
    places: tuple[int, ...]


class Sink:
    """The parts of all leaves.

    Replay tells it what was emitted and what is written; `open` then starts where the journal ends.

    Args:
        folder: the parts folder.
        token: token of the epoch, part of every file name.
        files: the payload store outside the broker.
        texts: a column with values of several types becomes text.
    """

    def __init__(
        self,
        control: Control,
        leaves: Sequence[str],
        folder: Path,
        token: str,
        files: FileStore | None,
        settings: Settings,
        *,
        texts: bool = False,
    ) -> None:
        self._texts = texts
        self.parts: dict[str, list[Part]] = {leaf: [] for leaf in leaves}
        self._control = control
        self.folder = folder
        self._token = token
        self._source = PayloadSource(control.payloads, files)
        self._settings = settings
        self._emitted: dict[str, deque[Emit]] = {leaf: deque() for leaf in leaves}
        self._unwritten: dict[str, list[Buffered]] = {leaf: [] for leaf in leaves}
        self._writers: dict[str, LeafWriter] = {}

    def emit(self, emit: Emit) -> None:
        """Notes an output of a leaf, which follows those emitted before."""
        self._emitted[emit.payload.step].append(emit)

    def written(self, part: PartWritten) -> None:
        """Notes a part that the journal says is written, perhaps by an earlier coordinator."""
        known = self.parts[part.step]
        if known and known[-1].last_seq >= part.last_seq:
            return
        known.append(Part.journaled(part))
        emitted = self._emitted[part.step]
        while emitted and emitted[0].payload.seq <= part.last_seq:
            emitted.popleft()

    def open(self) -> None:
        """Ends the replay: only journaled parts are kept on disk.

        Raises:
            RunError: a journaled part is missing.
        """
        check_parts(self.folder, [part for parts in self.parts.values() for part in parts])
        for leaf, parts in self.parts.items():
            schema = LeafSchema.from_bytes(parts[-1].schema) if parts else None
            self._writers[leaf] = LeafWriter(self.folder, leaf, self._token, schema, self._settings, texts=self._texts)

    @property
    def rows(self) -> Mapping[str, int]:
        """Rows in parts, per leaf."""
        return {leaf: sum(part.rows for part in parts) for leaf, parts in self.parts.items()}

    def take_in(self, now: float) -> bool:
        """Reads some of what was emitted and writes the parts that are due; returns whether more is waiting.

        Args:
            now: the caller's clock, in seconds.

        Raises:
            OSError: the disk is full; nothing is lost, and the call may be repeated.
            StoreAway: the payload store cannot be reached; nothing is lost either.
            PayloadLost
            WireError: a payload has more or fewer rows than the journal says.
        """
        more = False
        for leaf, emitted in self._emitted.items():
            writer = self._writers[leaf]
            if writer.due(now):
                self._write(leaf)
            some = _first(emitted)
            if writer.batches and some and some[0].size > READ_BYTES:
                self._write(leaf)  # anything this large is alone in memory
            for emit, data in zip(some, self._read(some), strict=True):
                stored = decode_rows(data)
                if len(stored) != emit.rows:
                    raise self._miscounted(emit, len(stored))
                rows = [row for row in stored if row is not None]
                writer.add(emit.payload.seq, rows, emit.size, now)
                places = (
                    () if len(rows) == len(stored) else tuple(compress(count(), (row is not None for row in stored)))
                )
                self._unwritten[leaf].append(Buffered(emit.payload, places))
                emitted.popleft()
                if writer.due(now):
                    self._write(leaf)
            more = more or bool(emitted)
        return more

    def flush(self) -> None:
        """Writes everything that is buffered, however little it is.

        Raises:
            OSError: as in `take_in`.
        """
        for leaf, writer in self._writers.items():
            if writer.batches:
                self._write(leaf)

    def _read(self, emits: Sequence[Emit]) -> list[bytes]:
        found = self._source.fetch([emit.payload for emit in emits])
        data: list[bytes] = []
        for emit in emits:
            stored = found[emit.payload]
            if isinstance(stored, PayloadLost):
                raise stored
            data.append(stored)
        return data

    def _miscounted(self, emit: Emit, rows: int) -> WireError:
        return WireError(
            f"payload {self._source.name(emit.payload)} has {rows:,} rows, and the journal says {emit.rows:,}: it was "
            "overwritten by something other than its worker; none of its rows are in the dataset: start over with "
            "--fresh"
        )

    def _write(self, leaf: str) -> None:
        part = self._writers[leaf].flush()
        buffered, self._unwritten[leaf] = self._unwritten[leaf], []
        letters = _letters(part, buffered)
        written = PartWritten(
            leaf,
            part.first_seq,
            part.last_seq,
            part.name,
            part.rows,
            len(part.failed),
            part.digest,
            part.schema,
            part.size,
        )
        self._control.part_written(written, [one.payload for one in buffered], letters)


def _first(emitted: Iterable[Emit]) -> list[Emit]:
    some: list[Emit] = []
    size = 0
    for emit in islice(emitted, READ_AT_ONCE):
        size += emit.size
        if some and size > READ_BYTES:
            break
        some.append(emit)
    return some


def _letters(part: Part, buffered: Sequence[Buffered]) -> list[DeadLetter]:
    by_seq = {one.payload.seq: one for one in buffered} if part.failed else {}
    letters = []
    for failed in part.failed:
        payload, places = by_seq[failed.seq].payload, by_seq[failed.seq].places
        place = places[failed.index] if places else failed.index
        letters.append(DeadLetter(part.leaf, failed.seq, payload.attempt, place, failed.reason, 1, WRITER, failed.row))
    return letters
