"""One reader per file format: rows of one file, in order, in constant memory."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from common.errors import BadData, RowError, RunError, TwoOfOneName, UsageError
from common.steps.base import GeneratorStepOutput, Row
from common.steps.loading.arrow_columns import Maps, problem_of, rows_of
from common.steps.loading.file_sources import FileSource
from common.steps.loading.json_values import TOO_DEEP, JsonValues, RowTooLong, decoder
from common.words.faults import hint

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".txt": "txt",
}
"""Suffix -> format."""

MAX_ROW_BYTES = 64 << 20
_ARROW_ROWS = 128
_BUFFER = 1 << 20
_BOM = "\ufeff"


@dataclass(slots=True)
class Skip:
    """How many rows are left to skip. Readers count it down, as cheaply as their format allows."""

    rows: int


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How files are read.

    Args:
        columns: the columns to keep, or None for all.
        encoding: of text files.
        delimiter: between the fields of csv; None: by suffix.
        max_row_bytes: of the text of a row; see `RowTooLong`.
        maps: how maps of Parquet and Arrow files are read; None: they are refused.
    """

    columns: list[str] | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None
    max_row_bytes: int = MAX_ROW_BYTES
    maps: Maps | None = None


Reader = Callable[[FileSource, ReadOptions, Skip], Iterator[Row]]


def in_batches(
    rows: Iterator[Row | RowError], size: int, check: Callable[[], None] | None = None
) -> GeneratorStepOutput:
    """The output of a generator step: `size` rows at a time, and whether they are the last.

    Args:
        check: raises if what was read may not be used; this also explains an error of the reader.
    """
    check = check or (lambda: None)

    def take() -> list[Row | RowError]:
        try:
            return list(islice(rows, size))
        except Exception:
            check()
            raise

    batch = take()
    while batch:
        following = take()
        check()
        yield batch, not following
        batch = following


def read_jsonl(source: FileSource, options: ReadOptions, skip: Skip) -> Iterator[Row]:
    """One object per line; blank lines are skipped. A selected column that a row lacks is None."""
    decode, blank = decoder().decode, 0
    for number, line in _lines(source, options):
        if not line.strip():
            blank += len(line)
            if blank > options.max_row_bytes:
                raise RowTooLong(f"{source.shown}:{number}", options.max_row_bytes, "blank lines")
            continue
        blank = 0
        if skip.rows:
            skip.rows -= 1
            continue
        try:
            value = decode(line)
        except TwoOfOneName as error:
            raise BadData(f"{source.shown}:{number}: {error}") from None
        except ValueError as error:
            raise BadData(f"{source.shown}:{number}: not JSON: {error}") from None
        except RecursionError:
            raise BadData(f"{source.shown}:{number}: {TOO_DEEP}") from None
        yield _object(value, options.columns, f"{source.shown}:{number}")


def read_json(source: FileSource, options: ReadOptions, skip: Skip) -> Iterator[Row]:
    """An array of objects, one object, or consecutive objects; the file is never held whole."""
    encoding = _without_bom(options.encoding)
    with _reading(source), source.open() as binary, io.TextIOWrapper(binary, encoding=encoding) as text:
        for line, value in JsonValues(text, source.shown, options.max_row_bytes):
            if skip.rows:
                skip.rows -= 1
                continue
            yield _object(value, options.columns, f"{source.shown}:{line}")


def read_csv(source: FileSource, options: ReadOptions, skip: Skip) -> Iterator[Row]:
    """A header, then one row per record. Every value is a string, an empty field the empty string."""
    csv.field_size_limit(sys.maxsize)  # the default of 128 KiB is too small for texts
    delimiter = options.delimiter or ("\t" if source.suffix == ".tsv" else ",")
    # Strict: otherwise an unclosed quote silently swallows the rest of the file.
    lines = _Record(source, options)
    records = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = next(records, None)
        if header is None:
            return
        if len(set(header)) < len(header):
            raise BadData(f"{source.shown}:1: two columns of the header have the same name: {header}")
        _check_columns(source, options.columns, header)
        lines.size = 0
        for record in records:
            if not record:
                continue
            lines.size = 0
            if skip.rows:
                skip.rows -= 1
                continue
            if len(record) != len(header):
                raise BadData(
                    f"{source.shown}:{records.line_num}: {len(record)} fields, but the header names {len(header)}"
                )
            row = dict(zip(header, record, strict=True))
            yield row if options.columns is None else {column: row[column] for column in options.columns}
    except csv.Error as error:
        raise BadData(f"{source.shown}:{records.line_num}: not CSV: {error}") from None


def read_txt(source: FileSource, options: ReadOptions, skip: Skip) -> Iterator[Row]:
    """One row per line, in the column `text`, without the line end; an empty line is a row."""
    for _, line in _lines(source, options):
        if skip.rows:
            skip.rows -= 1
            continue
        yield {"text": line.removesuffix("\n").removesuffix("\r")}


def read_parquet(source: FileSource, options: ReadOptions, skip: Skip) -> Iterator[Row]:
    """Reads piece by piece; skipped row groups are not read."""
    import pyarrow as pa
    from pyarrow import parquet

    with source.open() as stream:
        try:
            file = parquet.ParquetFile(stream, buffer_size=1 << 20)
            _check_schema(source, options, file.schema_arrow)
            for group in range(file.num_row_groups):
                if skip.rows >= file.metadata.row_group(group).num_rows:
                    skip.rows -= file.metadata.row_group(group).num_rows
                    continue
                for batch in file.iter_batches(batch_size=_ARROW_ROWS, row_groups=[group], columns=options.columns):
                    passed = min(skip.rows, batch.num_rows)
                    skip.rows -= passed
                    selected = batch if options.columns is None else batch.select(options.columns)
                    yield from _rows_of(source, selected.slice(passed), options)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(source, error, " as Parquet") from None


def read_arrow(source: FileSource, options: ReadOptions, skip: Skip) -> Iterator[Row]:
    """A stream of record batches, as `Dataset.save_to_disk` writes it; in local files, skipped batches are not read."""
    import pyarrow as pa

    try:
        with source.map() as stream, pa.ipc.open_stream(stream) as batches:
            _check_schema(source, options, batches.schema)
            for batch in batches:
                passed = min(skip.rows, batch.num_rows)
                skip.rows -= passed
                selected = batch if options.columns is None else batch.select(options.columns)
                for start in range(passed, batch.num_rows, _ARROW_ROWS):
                    yield from _rows_of(source, selected.slice(start, _ARROW_ROWS), options)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(source, error, " as Arrow") from None


def _check_schema(source: FileSource, options: ReadOptions, schema: pa.Schema) -> None:
    columns = options.columns
    _check_columns(source, columns, schema.names)
    # A column that is not selected may have any type.
    if problem := problem_of([field for field in schema if columns is None or field.name in columns], options.maps):
        raise UsageError(f"{source.shown}: {problem}" + (", or name the others in columns" if columns is None else ""))


def _rows_of(source: FileSource, batch: pa.RecordBatch, options: ReadOptions) -> list[Row]:
    try:
        return rows_of(batch, options.maps)
    except UsageError as error:
        raise UsageError(f"{source.shown}: {error}") from None
    except (OverflowError, ValueError) as error:  # such as a time beyond the year 9999
        raise BadData(f"{source.shown}: a value that Python cannot hold: {error}") from None


def column_names(source: FileSource) -> list[str]:
    """The columns declared in a Parquet or Arrow file. Raises as its reader does."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with source.map() as stream:
            if source.suffix == ".parquet":
                return list(parquet.read_schema(stream).names)
            with pa.ipc.open_stream(stream) as batches:
                return list(batches.schema.names)
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{source.shown}: cannot be read: {error}") from None


READERS: dict[str, Reader] = {
    "arrow": read_arrow,
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": read_csv,
    "parquet": read_parquet,
    "txt": read_txt,
}


class _Record:
    """The lines of a csv file; the lines of one record, whose fields may span many, are counted together.

    Args:
        size: characters since the record began; the reader of the records resets it.
    """

    def __init__(self, source: FileSource, options: ReadOptions) -> None:
        self._source = source
        self._options = options
        self.size = 0

    def __iter__(self) -> Iterator[str]:
        for number, line in _lines(self._source, self._options):
            self.size += len(line)
            if self.size > self._options.max_row_bytes:
                raise RowTooLong(f"{self._source.shown}:{number}", self._options.max_row_bytes, "a record")
            yield line


def _lines(source: FileSource, options: ReadOptions) -> Iterator[tuple[int, str]]:
    """Numbered lines with their ends, without a byte order mark. Only a line feed ends a line."""
    encoding, limit = options.encoding, options.max_row_bytes
    with _reading(source), source.open() as binary:
        if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
            with io.TextIOWrapper(binary, encoding=encoding, newline="\n") as lines:
                for number, text in enumerate(iter(partial(lines.readline, limit + 1), ""), start=1):
                    if len(text) > limit:
                        raise RowTooLong(f"{source.shown}:{number}", limit)
                    yield number, text.removeprefix(_BOM) if number == 1 else text
            return
        # Decoded line by line, so that an error knows its line.
        # fsspec's readline has no limit.
        known = isinstance(binary, io.BufferedReader | gzip.GzipFile)
        stream = binary if known else io.BufferedReader(cast(io.RawIOBase, binary), _BUFFER)
        for number, line in enumerate(iter(partial(stream.readline, limit + 1), b""), start=1):
            if len(line) > limit:
                raise RowTooLong(f"{source.shown}:{number}", limit)
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError as error:
                raise BadData(
                    f"{source.shown}:{number}: not {encoding}: {error.reason} at byte {error.start} of the line; "
                    "set encoding to the file's own"
                ) from None
            yield number, text.removeprefix(_BOM) if number == 1 else text


@contextmanager
def _reading(source: FileSource) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError, UnicodeError, zlib.error) as error:
        raise _unreadable(source, error) from None


def _unreadable(source: FileSource, error: Exception, form: str = "") -> RunError:
    """The error about the disk, or about the file itself."""
    kind = RunError if isinstance(error, OSError) else BadData
    return kind(f"{source.shown}: cannot be read{form}: {error}")


def _without_bom(encoding: str) -> str:
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _object(value: Any, columns: list[str] | None, where: str) -> Row:
    if not isinstance(value, dict):
        raise BadData(f"{where}: a row must be a JSON object, but this is a {type(value).__name__}")
    return value if columns is None else {column: value.get(column) for column in columns}


def _check_columns(source: FileSource, columns: list[str] | None, known: list[str]) -> None:
    for column in columns or ():
        if column not in known:
            raise UsageError(f"{source.shown} has no column '{column}'{hint(column, known, 'it has')}")
