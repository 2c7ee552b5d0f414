"""LoadDataFromFile: rows of files on any fsspec filesystem."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from common.errors import UsageError
from common.steps.base import Row
from common.steps.loading.arrow_columns import MAPS, Maps
from common.steps.loading.encodings import Encoding
from common.steps.loading.file_loader import FileLoader
from common.steps.loading.file_readers import MAX_ROW_BYTES, READERS, SUFFIXES, ReadOptions, Skip
from common.steps.loading.file_sources import FileSource, find_files, format_suffix, is_pattern
from common.steps.mappings import output_names
from common.words.faults import hint

_HEAD_ROWS = 1_000
_HEAD_FILES = 8


class LoadDataFromFile(FileLoader):
    """Yields the rows of one or more files, in the order of `path` and sorted by name within each pattern.

    Formats: `jsonl` (one object per line), `json` (an array of objects, or one object), `csv` (with a header; every
    value stays a string), `parquet`, `txt` (one row per line, in the column `text`). Text formats may be compressed
    (`.gz`, `.zst`). Memory does not grow with the size of the files, but with that of a row: a line, csv record or JSON
    object of more than `max_row_bytes` is an error. An unreadable file halts the run, which names file and line. So
    does a file that changes during the run; no row is read from its new content. Files with other content are another
    run.
    """

    _version: ClassVar[int] = 1

    path_fields: ClassVar[tuple[str, ...]] = ("path",)

    path: str | list[str] = Field(description="File, pattern (*, ?, **) or fsspec URL, or a list of them.")
    format: Literal["jsonl", "json", "csv", "parquet", "txt"] | None = Field(
        default=None, description="Format of all files; by default from the suffix of each."
    )
    columns: list[str] | None = Field(
        default=None, min_length=1, description="Columns to keep, in this order; None if a JSON object lacks one."
    )
    encoding: Encoding = Field(default="utf-8", description="Encoding of text files; a byte order mark is dropped.")
    delimiter: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="Between csv fields; default: a tab for .tsv, else a comma.",
    )
    max_row_bytes: int = Field(
        default=MAX_ROW_BYTES,
        gt=0,
        description="Most bytes of a line, a csv record or a JSON object; a longer one is an error.",
    )
    maps: Maps | None = Field(default=None, description=MAPS)
    storage_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the fsspec filesystem; credentials come from the environment."
    )

    @model_validator(mode="after")
    def _format_is_known(self) -> Self:
        if not self._patterns:
            raise ValueError("path names no file")
        for pattern in self._patterns:
            suffix = format_suffix(pattern)
            if self.format is None and suffix not in SUFFIXES and not is_pattern(suffix or pattern):
                raise ValueError(_unknown_format(pattern))
        return self

    @property
    def outputs(self) -> list[str]:
        """The columns, as far as known here: those of the first rows of the files."""
        if self.columns is not None:
            return self.columns
        if self.format == "txt":
            return ["text"]
        try:
            return self._head_columns()
        except Exception:  # each filesystem has its own errors
            # The files may be visible only to the workers; the run itself reports their faults.
            return []

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        columns = self.outputs
        return output_names(self, columns) if columns else None

    def check_here(self) -> None:
        """Raises UsageError: no file, an unknown column or format, a row that is too long among the first."""
        self._files()
        self._head_columns()

    def load(self) -> None:
        """Finds a wrong path or column before the first batch.

        Raises:
            UsageError: no file, an unknown format, or a selected column that no row has.
            RunError: the rows cannot be read.
        """
        if self.columns is None:
            self._files()
            return
        whole = replace(self._options, columns=None)
        known = dict.fromkeys(self._head_columns(whole))
        missing = [column for column in self.columns if column not in known]
        if not known or not missing:
            return
        # JSON rows may have a column late. Searching for it costs time, but a typo found at the end costs a run.
        late = [source for source in self._files() if (self.format or SUFFIXES.get(source.suffix)) in ("jsonl", "json")]
        for row in self._read(late, whole, Skip(0)):
            known.update(dict.fromkeys(row))
            if known.keys() >= set(missing):
                return
        column = next(column for column in missing if column not in known)
        raise UsageError(f"{self.path} has no column '{column}'{hint(column, known, 'it has')}")

    @property
    def _patterns(self) -> list[str]:
        return [self.path] if isinstance(self.path, str) else self.path

    @property
    def _options(self) -> ReadOptions:
        return ReadOptions(self.columns, self.encoding, self.delimiter, self.max_row_bytes, self.maps)

    def _files(self) -> list[FileSource]:
        return find_files(self._patterns, self.storage_options)

    def _rows(self, files: list[FileSource], offset: int) -> Iterator[Row]:
        return self._read(files, self._options, Skip(offset))

    def _read(self, files: list[FileSource], options: ReadOptions, skip: Skip) -> Iterator[Row]:
        for source in files:
            name = self.format or SUFFIXES.get(source.suffix)
            if name is None:
                raise UsageError(_unknown_format(source.shown))
            yield from READERS[name](source, options, skip)

    def _head_columns(self, options: ReadOptions | None = None) -> list[str]:
        """The columns of the first rows of the first files, in order."""
        columns: dict[str, None] = {}
        for source in self._files()[:_HEAD_FILES]:
            for row in islice(self._read([source], options or self._options, Skip(0)), _HEAD_ROWS):
                columns.update(dict.fromkeys(row))
        return list(columns)


def _unknown_format(path: str) -> str:
    suffix = format_suffix(path)
    near = hint(suffix, SUFFIXES, "known suffixes are") if suffix else ""
    return f"the name of '{path}' does not show its format{near}; set format to jsonl, json, csv, parquet or txt"
