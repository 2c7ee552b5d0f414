"""The base of steps whose rows come from data files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import ClassVar

from pydantic import PrivateAttr

from common.errors import BadData, FileChanged, UsageError
from common.steps.base import GeneratorStep, GeneratorStepOutput, Row
from common.steps.loading.file_readers import in_batches
from common.steps.loading.file_sources import FileSource
from common.steps.loading.file_states import DataFiles, digest_of
from common.steps.loading.file_watch import FileTouched, FileWatch

_TOUCHES = 10
"""Times that a file may be written to, with what it held before, while a batch of it is read."""


class FileLoader(GeneratorStep):
    """Reads the files that the run began with, and no others; one that has changed since then ends the run."""

    final_errors: ClassVar[tuple[type[Exception], ...]] = (BadData, FileChanged, UsageError)
    outputs_of_the_data: ClassVar[bool] = True

    _data: DataFiles | None = PrivateAttr(default=None)
    _watch: FileWatch | None = PrivateAttr(default=None)

    @abstractmethod
    def _files(self) -> list[FileSource]:
        """The files as they are found now, in order. Raises UsageError for none."""

    @abstractmethod
    def _rows(self, files: list[FileSource], offset: int) -> Iterator[Row]:
        """The rows of `files` from row `offset` of all of them together on."""

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        """Yields the rows from row `offset` on.

        Raises:
            UsageError: no file matches, or a format is unknown.
            RunError: a file cannot be read; names file and line.
            FileChanged: a file is not what it was when the run began.
        """
        touches = 0
        while True:
            files, watch = self._watched()
            try:
                for rows, last in in_batches(self._rows(files, offset), self.batch_size, watch.check):
                    yield rows, last
                    offset, touches = offset + len(rows), 0
                return
            except FileTouched:  # what has been yielded is right; what was read ahead may be torn
                touches += 1
                if touches == _TOUCHES:
                    raise

    def data_files(self) -> DataFiles:
        """The files as they were when the run began, or when this step first looked at them.

        Raises:
            UsageError: there is none.
        """
        if self._data is None:
            self._data = DataFiles.of(self._files())
        return self._data

    def fingerprint(self) -> str:
        """Digest of name, size, first and last bytes of each file, in their order. Raises UsageError for no file."""
        return self.data_files().fingerprint()

    def snapshot(self) -> str:
        """The files with all that tells whether they have changed."""
        return self.data_files().encode()

    def pin(self, snapshot: str) -> None:
        """Reads these files, and nothing that they have become meanwhile. Raises WireError for another text."""
        self._data = DataFiles.decode(snapshot)

    def digests(self) -> list[str]:
        """Of `data_files`, in their order: of those that were read whole here; empty for the others."""
        found = self._watch.digests if self._watch is not None and self.data_files().is_here else {}
        return [found.get(state.path, "") for state in self.data_files().files]

    def digest_of(self, path: str) -> str:
        """Digest of all bytes of the file that messages show as `path`; reads them. Raises FileChanged for none."""
        for source in self._files():
            if source.shown == path:
                return digest_of(source)
        raise FileChanged(path, "it is gone")

    def _watched(self) -> tuple[list[FileSource], FileWatch]:
        """The files of the run, each of which is compared whenever it is read."""
        data, found = self.data_files(), self._files()
        there = {source.shown: source for source in found}
        paths = [state.path for state in data.files]
        if not data.is_here and not set(paths) <= there.keys():  # another host may have them in another folder
            names = [PurePosixPath(path).name for path in paths]
            if names == [PurePosixPath(path).name for path in there]:
                states = zip(data.files, there, strict=True)
                data = replace(data, files=tuple(replace(state, path=path) for state, path in states))
                paths = list(there)
        for path in paths:
            if path not in there:
                raise FileChanged(path, "it is gone")
        if self._watch is None:
            self._watch = FileWatch(data)
        watch = self._watch
        return [replace(there[path], watch=watch) for path in paths], watch
