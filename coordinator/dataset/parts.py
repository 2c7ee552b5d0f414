"""Turns leaf rows into Parquet parts: files in the run directory that are whole or absent."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Final

from common.payloads.durable import new_file
from common.protocol.batch import PartWritten
from common.settings import Settings
from common.steps.base import Row
from coordinator.dataset.leaf_schema import LeafSchema

if TYPE_CHECKING:
    import pyarrow as pa

COMPRESSION: Final = "zstd"
LARGE_ROW: Final = 1 << 20
"""Average row size in bytes from which Parquet keeps no statistics, which would be copies of the largest values."""
LARGE_TABLE: Final = 16 << 20
"""Size of a table, in bytes, after which the memory that Arrow keeps for the next one is released."""


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row that does not fit the leaf's schema, so no part holds it.

    Args:
        seq: its batch.
        index: its position among the rows of that batch as they were added, from 0.
        column: path of the value, such as `meta.scores[3]`; empty for the row itself.
        reason: for people; names the column, the type found and the type expected.
        row: the row.
    """

    seq: int
    index: int
    column: str
    reason: str
    row: Row


@dataclass(frozen=True, slots=True)
class Part:
    """A part on disk, as the journal records it (except `failed`, which become dead letters).

    Args:
        leaf: the step whose rows these are.
        name: file name in the parts folder.
        first_seq: first batch in it; `last_seq` is the last. Both count even if all their rows failed.
        rows: rows in the file.
        size: bytes of the file.
        digest: BLAKE2b (128 bits, hex) of the file.
        schema: the leaf's schema up to and including this part, as `LeafSchema.to_bytes` writes it.
        failed: rows that are not in the file.
    """

    leaf: str
    name: str
    first_seq: int
    last_seq: int
    rows: int
    size: int
    digest: str
    schema: bytes
    failed: tuple[FailedRow, ...] = ()

    @classmethod
    def journaled(cls, entry: PartWritten) -> Part:
        """The part as the journal records it."""
        first, last = entry.first_seq, entry.last_seq
        return cls(entry.step, entry.name, first, last, entry.rows, entry.size, entry.digest, entry.schema)


class LeafWriter:
    """Buffers the batches of one leaf and writes them as parts.

    Args:
        folder: the parts folder; created if it is missing.
        leaf: name of the leaf step.
        epoch_token: the coordinator's epoch, part of every file name, so two coordinators never share a file.
        schema: the schema recorded with the leaf's last part; None before the first part.
        settings: `part_rows`, `part_bytes` and `flush_interval` say when a part is due.
        texts: a column with values of several types becomes text; otherwise the rows that do not fit fail.
    """

    def __init__(
        self,
        folder: Path,
        leaf: str,
        epoch_token: str,
        schema: LeafSchema | None,
        settings: Settings,
        *,
        texts: bool = False,
    ) -> None:
        self._texts = texts
        self._folder = folder
        self._leaf = leaf
        self._epoch_token = epoch_token
        self._settings = settings
        self._batches: list[tuple[int, Sequence[Row]]] = []
        self._since = 0.0
        self.schema = schema or LeafSchema()
        self.rows = 0
        self.bytes = 0

    @property
    def batches(self) -> int:
        """Batches in the buffer, including those without rows."""
        return len(self._batches)

    def add(self, seq: int, rows: Sequence[Row], nbytes: int, now: float) -> None:
        """Buffers a batch: its rows without holes, their approximate size, and the caller's clock in seconds.

        Raises ValueError if `seq` is not greater than that of the previous batch; batches without rows may be left out.
        """
        if self._batches and seq <= self._batches[-1][0]:
            raise ValueError(f"leaf '{self._leaf}': batch {seq} added after batch {self._batches[-1][0]}")
        if not self._batches:
            self._since = now
        self._batches.append((seq, rows))
        self.rows += len(rows)
        self.bytes += nbytes

    def due(self, now: float) -> bool:
        """Whether the buffer is large or old enough to be written."""
        return bool(self._batches) and (
            self.rows >= self._settings.part_rows
            or self.bytes >= self._settings.part_bytes
            or now - self._since >= self._settings.flush_interval
        )

    def flush(self) -> Part:
        """Writes the buffer and returns once it is on disk under its final name.

        Raises OSError (a full disk) and keeps the buffer, so the call may be repeated; raises ValueError if nothing is
        buffered.
        """
        if not self._batches:
            raise ValueError(f"leaf '{self._leaf}': there is no batch to write")
        first, last = self._batches[0][0], self._batches[-1][0]
        rows = [row for _, batch in self._batches for row in batch]
        schema, misfits = self.schema.grow(rows, texts=self._texts)
        failed: tuple[FailedRow, ...] = ()
        if misfits:
            places = [(seq, index) for seq, batch in self._batches for index in range(len(batch))]
            failed = tuple(
                FailedRow(*places[misfit.index], misfit.column, misfit.reason, rows[misfit.index]) for misfit in misfits
            )
            left_out = {misfit.index for misfit in misfits}
            rows = [row for index, row in enumerate(rows) if index not in left_out]
        path = self._folder / f"{self._leaf}-{first}-{last}-{self._epoch_token}.parquet"
        size, digest = write_parquet(schema.table(rows), path)
        self.schema = schema
        self._batches = []
        self.rows = self.bytes = 0
        return Part(self._leaf, path.name, first, last, len(rows), size, digest, schema.to_bytes(), failed)


def write_parquet(table: pa.Table, path: Path) -> tuple[int, str]:
    """Writes a whole file or none; it is on disk when this returns. Returns its size in bytes and its digest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as file:
        small = table.nbytes < LARGE_ROW * max(1, table.num_rows)
        with pq.ParquetWriter(file, table.schema, compression=COMPRESSION, write_statistics=small) as writer:
            if table.num_rows:  # `datasets` reads a file without row groups, not one whose row group is empty
                writer.write_table(table)
        size = file.tell()
        file.seek(0)
        digest = file_digest(file)
    if table.nbytes > LARGE_TABLE:
        pa.default_memory_pool().release_unused()
    return size, digest


def file_digest(file: BufferedRandom | BufferedReader) -> str:
    """BLAKE2b of the file from its current position, in hex, read in chunks."""
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
