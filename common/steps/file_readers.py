"""One reader per file format: rows of one file, in order, in constant memory."""

from __future__ import annotations

import codecs
import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from common.errors import RunError, UsageError
from common.faults import hint
from common.steps.base import Row
from common.steps.file_sources import FileSource

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

_CHUNK_CHARACTERS = 1 << 16
_PARQUET_ROWS = 128
_BOM = "\ufeff"


@dataclass(slots=True)
class Skip:
    """How many rows are still to be passed over. Readers count it down, as cheaply as their format allows."""

    rows: int


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How files are read.

    Args:
        columns: the columns to keep, or None for all.
        encoding: of text files.
        delimiter: between the fields of csv; None: by the suffix.
    """

    columns: list[str] | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None


Reader = Callable[[FileSource, ReadOptions, Skip], Iterator[Row]]


def read_jsonl(source: FileSource, options: ReadOptions, skip: Skip) -> Iterator[Row]:
    """One object per line; blank lines are no rows. A selected column that a row does not have is None."""
    for number, line in _lines(source, options.encoding):
        if not line.strip():
            continue
        if skip.rows:
            skip.rows -= 1
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise RunError(f"{source.shown}:{number}: not JSON: {error}") from None
        yield _object(value, options.columns, f"{source.shown}:{number}")


def read_json(source: FileSource, options: ReadOptions, skip: Skip) -> Iterator[Row]:
    """An array of objects, one object, or objects one after the other; the file is never held whole."""
    encoding = _without_bom(options.encoding)
    with _reading(source), source.open() as binary, io.TextIOWrapper(binary, encoding=encoding) as text:
        for line, value in _JsonValues(text, source.shown):
            if skip.rows:
                skip.rows -= 1
                continue
            yield _object(value, options.columns, f"{source.shown}:{line}")


def read_csv(source: FileSource, options: ReadOptions, skip: Skip) -> Iterator[Row]:
    """A header, then one row per record. Every value is a string, an empty field the empty string."""
    csv.field_size_limit(sys.maxsize)  # the default of 128 KiB is too small for texts
    delimiter = options.delimiter or ("\t" if source.suffix == ".tsv" else ",")
    # Strict: else a quote that is never closed silently takes the rest of the file into one field.
    records = csv.reader((line for _, line in _lines(source, options.encoding)), delimiter=delimiter, strict=True)
    try:
        header = next(records, None)
        if header is None:
            return
        if len(set(header)) < len(header):
            raise RunError(f"{source.shown}:1: two columns of the header have the same name: {header}")
        _check_columns(source, options.columns, header)
        for record in records:
            if not record:
                continue
            if skip.rows:
                skip.rows -= 1
                continue
            if len(record) != len(header):
                raise RunError(
                    f"{source.shown}:{records.line_num}: {len(record)} fields, but the header names {len(header)}"
                )
            row = dict(zip(header, record, strict=True))
            yield row if options.columns is None else {column: row[column] for column in options.columns}
    except csv.Error as error:
        raise RunError(f"{source.shown}:{records.line_num}: not CSV: {error}") from None


def read_txt(source: FileSource, options: ReadOptions, skip: Skip) -> Iterator[Row]:
    """One row per line, in the column `text`, without the end of the line; an empty line is a row."""
    for _, line in _lines(source, options.encoding):
        if skip.rows:
            skip.rows -= 1
            continue
        yield {"text": line.removesuffix("\n").removesuffix("\r")}


def read_parquet(source: FileSource, options: ReadOptions, skip: Skip) -> Iterator[Row]:
    """Reads piece by piece; row groups that are skipped are not read."""
    import pyarrow as pa
    from pyarrow import parquet

    with source.open() as stream:
        try:
            file = parquet.ParquetFile(stream, buffer_size=1 << 20)
            _check_columns(source, options.columns, file.schema_arrow.names)
            for group in range(file.num_row_groups):
                if skip.rows >= file.metadata.row_group(group).num_rows:
                    skip.rows -= file.metadata.row_group(group).num_rows
                    continue
                for batch in file.iter_batches(batch_size=_PARQUET_ROWS, row_groups=[group], columns=options.columns):
                    passed = min(skip.rows, batch.num_rows)
                    skip.rows -= passed
                    selected = batch if options.columns is None else batch.select(options.columns)
                    yield from selected.slice(passed).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise RunError(f"{source.shown}: cannot be read as Parquet: {error}") from None


READERS: dict[str, Reader] = {
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": read_csv,
    "parquet": read_parquet,
    "txt": read_txt,
}


def _lines(source: FileSource, encoding: str) -> Iterator[tuple[int, str]]:
    """Numbered lines with their ends, without a byte order mark. Only a line feed ends a line."""
    with _reading(source), source.open() as binary:
        if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
            with io.TextIOWrapper(binary, encoding=encoding, newline="\n") as lines:
                for number, text in enumerate(lines, start=1):
                    yield number, text.removeprefix(_BOM) if number == 1 else text
            return
        # Decoded line by line, so that an error knows its line.
        for number, line in enumerate(binary, start=1):
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError as error:
                raise RunError(
                    f"{source.shown}:{number}: not {encoding}: {error.reason} at byte {error.start} of the line; "
                    "set encoding to the file's own"
                ) from None
            yield number, text.removeprefix(_BOM) if number == 1 else text


@contextmanager
def _reading(source: FileSource) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError, UnicodeError) as error:
        raise RunError(f"{source.shown}: cannot be read: {error}") from None


def _without_bom(encoding: str) -> str:
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _object(value: Any, columns: list[str] | None, where: str) -> Row:
    if not isinstance(value, dict):
        raise RunError(f"{where}: a row must be a JSON object, but this is a {type(value).__name__}")
    return value if columns is None else {column: value.get(column) for column in columns}


def _check_columns(source: FileSource, columns: list[str] | None, known: list[str]) -> None:
    for column in columns or ():
        if column not in known:
            raise UsageError(f"{source.shown} has no column '{column}'{hint(column, known, 'it has')}")


class _JsonValues:
    """The objects of a JSON text, each with the line where it begins, read in chunks.

    The objects are the elements of one array, or stand one after the other.
    """

    def __init__(self, text: io.TextIOWrapper, shown: str) -> None:
        self._text = text
        self._shown = shown
        self._buffer = ""
        self._position = 0
        self._line = 1
        self._decoder = json.JSONDecoder()

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        in_array = self._next_character() == "["
        if in_array:
            self._position += 1
        while character := self._next_character():
            if in_array and character == "]":
                self._position += 1
                if self._next_character():
                    raise self._error("something follows the end of the array")
                return
            yield self._line, self._value()
            if in_array and (character := self._next_character()) == ",":
                self._position += 1
                if self._next_character() == "]":
                    raise self._error("a comma before the end of the array")
            elif in_array and character != "]":
                raise self._error(
                    "a comma or ] is missing after an element" if character else "the array is not closed"
                )
        if in_array:
            raise self._error("the array is not closed")

    def _next_character(self) -> str:
        """The next character that is no white space, not consumed; empty at the end."""
        while True:
            while self._position < len(self._buffer):
                character = self._buffer[self._position]
                if not character.isspace():
                    return character
                self._line += character == "\n"
                self._position += 1
            if not self._fill():
                return ""

    def _value(self) -> Any:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._position)
            except json.JSONDecodeError as error:
                # Text that is cut off fails at its end, or where its last string begins; anything else is an error.
                cut = error.pos >= len(self._buffer) - 16 or error.msg.startswith("Unterminated string")
                if cut and self._fill():
                    continue
                line = self._line + error.doc.count("\n", self._position, error.pos)
                raise RunError(f"{self._shown}:{line}: not JSON: {error.msg}") from None
            if end == len(self._buffer) and not isinstance(value, dict | list) and self._fill():
                continue
            self._line += self._buffer.count("\n", self._position, end)
            self._position = end
            return value

    def _fill(self) -> bool:
        """Reads on; more at a time the longer the value is, so that decoding it again stays cheap. False at the end."""
        kept = self._buffer[self._position :]
        chunk = self._text.read(max(_CHUNK_CHARACTERS, len(kept)))
        if chunk:
            self._buffer, self._position = kept + chunk, 0
        return bool(chunk)

    def _error(self, problem: str) -> RunError:
        return RunError(f"{self._shown}:{self._line}: not JSON: {problem}")
