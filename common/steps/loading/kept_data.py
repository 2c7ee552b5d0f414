"""In-memory data, kept in cache files named by their content."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from common.cache import CACHE_VARIABLE, cache_directory, make_private
from common.errors import UsageError
from common.payloads.durable import sync_file

if TYPE_CHECKING:
    import pyarrow as pa


def keep_lines(lines: Iterable[bytes]) -> Path:
    """Keeps JSON Lines. Raises as `keep_tables`."""

    def write(file: BinaryIO) -> None:
        for line in lines:
            file.write(line + b"\n")

    return _keep(".jsonl", write)


def keep_tables(schema: pa.Schema, tables: Iterable[pa.Table]) -> Path:
    """Keeps tables of one schema in one Parquet file, a row group for each.

    Raises:
        UsageError: the cache cannot be written, or Parquet has no such type.
    """
    import pyarrow as pa
    from pyarrow import parquet

    def write(file: BinaryIO) -> None:
        with parquet.ParquetWriter(file, schema) as writer:
            for table in tables:
                # In one piece: otherwise the bytes of the file would depend on how the table was built.
                writer.write_table(table.combine_chunks(), row_group_size=max(table.num_rows, 1))

    try:
        return _keep(".parquet", write)
    except pa.ArrowException as error:
        raise UsageError(f"the dataset cannot be written as Parquet: {error}") from None


def _keep(suffix: str, write: Callable[[BinaryIO], None]) -> Path:
    folder = cache_directory() / "data"
    try:
        make_private(folder)
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=suffix)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                write(file)
                sync_file(file)
                file.seek(0)
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            kept = folder / f"{digest}{suffix}"
            if not kept.exists():
                # A file's time is part of a run's signature; data that was removed and returns is the same.
                os.utime(temporary, (0, 0))
                os.replace(temporary, kept)
            return kept
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error}; choose another folder with {CACHE_VARIABLE}") from None
