"""LoadDataFromFileSystem: rows of data files, as the library `datasets` reads them."""

from __future__ import annotations

import glob
import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from common.errors import BadData, PenstockError, RunError, UsageError
from common.parameters.runtime_parameters import RuntimeOption
from common.steps.base import Row, RuntimeParameter
from common.steps.loading.arrow_columns import MAPS, Maps, problem_of, rows_of
from common.steps.loading.file_loader import FileLoader
from common.steps.loading.file_sources import DamagedData, FileSource, format_suffix
from common.steps.loading.found_files import find_wanted, shared_folder
from common.steps.mappings import output_names
from common.words.faults import hint

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, IterableDataset

FileType = Literal["csv", "tsv", "json", "jsonl", "parquet", "arrow", "txt", "text"]
_BUILDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "csv": ("csv", {}),
    "tsv": ("csv", {"sep": "\t"}),
    "json": ("json", {}),
    "jsonl": ("json", {}),
    "parquet": ("parquet", {}),
    "arrow": ("arrow", {}),
    "txt": ("text", {}),
    "text": ("text", {}),
}
"""File type -> the builder of `datasets`, and its options."""
_TYPES: dict[str, FileType] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".txt": "txt",
}
"""Suffix -> file type."""
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
}
"""Words in names of files and folders -> the split that `datasets` takes them for."""
_WORD = re.compile(r"[a-z]+")
_ROWS = 1_000
_DAMAGED = (gzip.BadGzipFile, DamagedData)


class LoadDataFromFileSystem(FileLoader):
    """Yields the rows of data files, with the values that the library `datasets` makes of them.

    Values have types: a csv column of numbers has numbers, and an empty field is None. (`LoadDataFromFile` keeps the
    text of csv, and reads JSON whose rows differ.) Files are csv, tsv, json, jsonl, parquet, arrow or txt, one row per
    line, and may be compressed (`.gz`, `.zst`). They come in the order of `data_files`, sorted by name within a folder
    or pattern; in folders, hidden files, links to folders and files with other suffixes are left out.

    All files have the columns of the first one; a column that JSON objects lack is None, and another column or file
    type is an error, which names the file. An unreadable file halts the run, and so does one that changes during it;
    files with other content are another run.

    `data_files` may name a file, pattern or folder for each split, or several: `{train: a.csv, test: [b.csv, c.csv]}`.
    In a folder where names of files or folders say their split, such as `test/a.csv` or `test-00000-of-00002.parquet`,
    only those of `split` are read. All other files are of the split `train`.
    """

    _version: ClassVar[int] = 1

    path_fields: ClassVar[tuple[str, ...]] = ("data_files",)

    data_files: RuntimeParameter[str | list[str] | dict[str, str | list[str]]] = Field(
        description="File, folder, pattern (*, ?, **) or fsspec URL, a list of them, or either for each split."
    )
    split: RuntimeOption[str] = Field(default="train", description="Split to load.")
    filetype: RuntimeParameter[FileType] = Field(
        default=None, description="Type of all files; by default from their suffix."
    )
    streaming: RuntimeOption[bool] = Field(
        default=False,
        description="Read rows as they come; if false, each file is first converted in a temporary folder, which finds "
        "its faults before its first row, and takes its types from all of its rows.",
    )
    num_examples: RuntimeParameter[int] = Field(default=None, ge=1, description="Rows to load at most; all if null.")
    maps: Maps | None = Field(default=None, description=MAPS)
    storage_options: dict[str, Any] | None = Field(
        default=None, description="Options of the fsspec filesystem; credentials come from the environment."
    )

    @property
    def outputs(self) -> list[str]:
        """The columns of the first file."""
        try:
            return self._head(self._files()[0])
        except Exception:  # each filesystem has its own errors
            # The files may be visible only to the workers; the run itself reports their faults.
            return []

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        columns = self.outputs
        return output_names(self, columns) if columns else None

    def check_here(self) -> None:
        """Raises UsageError: no file, an unknown split or type. RunError: the first rows cannot be read."""
        self._head(self._files()[0])

    def load(self) -> None:
        """Finds a wrong path, split or type before the first batch. Raises UsageError."""
        from datasets import disable_progress_bars

        disable_progress_bars()  # they would fill the log
        self._files()

    def _files(self) -> list[FileSource]:
        found = self._of_the_split()
        types = {self._type_of(source) for source in found}
        if len(types) > 1:
            raise UsageError(f"step '{self.name}': files of several types: {', '.join(sorted(types))}; set filetype")
        return found

    def _of_the_split(self) -> list[FileSource]:
        paths = self.data_files
        if paths is None:
            raise UsageError(f"step '{self.name}' has no data_files yet")
        if isinstance(paths, dict):
            if self.split not in paths:
                raise UsageError(f"data_files has no split '{self.split}'{hint(self.split, paths, 'it has')}")
            return self._find(paths[self.split])
        found = self._find(paths)
        folder = shared_folder([paths] if isinstance(paths, str) else paths, self.storage_options or {})
        splits = {source.shown: _split_of(source.shown.removeprefix(folder)) for source in found}
        named = set(filter(None, splits.values()))
        if not named or not self._is_folder(paths):
            named, splits = {"train"}, dict.fromkeys(splits, "train")
        if unclear := [shown for shown, split in splits.items() if split is None]:
            raise UsageError(
                f"the name of {unclear[0]} does not show its split, as others do; map splits in data_files"
            )
        if self.split not in named:
            raise UsageError(f"there is no split '{self.split}'{hint(self.split, named, 'there are')}")
        return [source for source in found if splits[source.shown] == self.split]

    def _find(self, paths: str | list[str]) -> list[FileSource]:
        def is_data(path: str) -> bool:
            return self.filetype is not None or format_suffix(path) in _TYPES

        given = [paths] if isinstance(paths, str) else paths
        return find_wanted(given, is_data, self.storage_options or {}, "filetype").files

    def _is_folder(self, paths: str | list[str]) -> bool:
        from fsspec.core import url_to_fs

        if not isinstance(paths, str):
            return False
        filesystem, place = url_to_fs(paths, **(self.storage_options or {}))
        return bool(filesystem.isdir(place))

    def _type_of(self, source: FileSource) -> FileType:
        kind = self.filetype or _TYPES.get(source.suffix)
        if kind is None:
            near = hint(source.suffix, _TYPES, "known suffixes are") if source.suffix else ""
            raise UsageError(f"the name of '{source.shown}' does not show its type{near}; set filetype")
        return kind

    def _rows(self, files: list[FileSource], offset: int) -> Iterator[Row]:
        stop = None if self.num_examples is None else max(self.num_examples - offset, 0)
        return islice(self._read(files, offset), stop)

    def _read(self, files: list[FileSource], offset: int) -> Iterator[Row]:
        columns: list[str] = []
        for source in files:
            for table in self._tables(source):
                columns = columns or list(table.column_names)
                if offset >= table.num_rows:
                    offset -= table.num_rows
                    continue
                yield from self._rows_of(source, self._complete(source, table, columns).slice(offset))
                offset = 0

    def _head(self, source: FileSource) -> list[str]:
        """The columns of a file's first rows."""
        for table in self._tables(replace(source, watch=None), streaming=True):
            return list(table.column_names)
        return []

    def _tables(self, source: FileSource, *, streaming: bool | None = None) -> Iterator[pa.Table]:
        """The rows of a file, some at a time; none of an empty one.

        Raises:
            BadData: it is not of its type.
            RunError: it cannot be reached.
        """
        streaming = self.streaming if streaming is None else streaming
        kind = self._type_of(source)
        with source.compared(), _faults(source, kind), TemporaryDirectory(prefix="penstock-") as folder:
            if _is_empty(source):
                return
            yield from self._opened(source, kind, folder, streaming).with_format("arrow").iter(batch_size=_ROWS)

    def _opened(self, source: FileSource, kind: FileType, folder: str, streaming: bool) -> Dataset | IterableDataset:
        from datasets import load_dataset

        builder, options = _BUILDERS[kind]
        name = source.shown if "http" in source.shown.partition("://")[0] else glob.escape(source.shown)
        stored = {protocol: self.storage_options or {} for protocol in source.protocols}
        return load_dataset(
            builder,
            data_files=[name],
            split="train",
            streaming=streaming,
            cache_dir=folder,
            storage_options=None if source.is_local else stored,
            **options,
        )

    def _complete(self, source: FileSource, table: pa.Table, columns: list[str]) -> pa.Table:
        """The table with the columns of the first one, in their order."""
        import pyarrow as pa

        more = [name for name in table.column_names if name not in columns]
        less = [name for name in columns if name not in table.column_names]
        if more or (less and self._type_of(source) not in ("json", "jsonl")):
            what = f"has the column '{more[0]}', which the first rows lack" if more else f"lacks the column '{less[0]}'"
            raise BadData(f"{source.shown}: it {what}; all files must have the same columns ({', '.join(columns)})")
        for name in less:
            table = table.append_column(name, pa.nulls(table.num_rows))
        return table.select(columns)

    def _rows_of(self, source: FileSource, table: pa.Table) -> list[Row]:
        if problem := problem_of(table.schema, self.maps):
            raise UsageError(f"{source.shown}: {problem}")
        return rows_of(table, self.maps)


@contextmanager
def _faults(source: FileSource, kind: str) -> Iterator[None]:
    """Turns the errors of reading a file into ours."""
    from datasets.exceptions import DatasetGenerationError

    try:
        yield
    except PenstockError:
        raise
    except Exception as error:  # each format has its own
        cause = error.__cause__ if isinstance(error, DatasetGenerationError) and error.__cause__ else error
        is_away = isinstance(cause, OSError) and not isinstance(cause, _DAMAGED)
        why = " ".join(str(cause).split())
        raise (RunError if is_away else BadData)(f"{source.shown}: cannot be read as {kind}: {why}") from None


def _is_empty(source: FileSource) -> bool:
    """Whether there is nothing in it, decompressed."""
    with replace(source, watch=None).open() as stream:
        return not stream.read(1)


def _split_of(path: str) -> str | None:
    """The split that the name of a file says, or of the folder nearest to it; None if there is none."""
    for part in reversed(PurePosixPath(path.lower()).parts):
        for word in _WORD.findall(part):
            if word in _SPLITS:
                return _SPLITS[word]
    return None
