"""The base of steps whose rows come from data files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import ClassVar

from pydantic import PrivateAttr

from common.errors import BadData, FileChanged, RowError, UsageError
from common.steps.base import GeneratorStep, GeneratorStepOutput, Row
from common.steps.loading.file_readers import in_batches
from common.steps.loading.file_sources import FileSource
from common.steps.loading.file_states import DataFiles, digest_of
from common.steps.loading.file_watch import FileTouched, FileWatch

_TOUCHES = 10
"""How often a file may be rewritten with the same content while a batch of it is read."""


class FileLoader(GeneratorStep):
    """Reads only the files that the run began with; one that has changed since then halts the run."""

    final_errors: ClassVar[tuple[type[Exception], ...]] = (BadData, FileChanged, UsageError)
    outputs_of_the_data: ClassVar[bool] = True

    _data: DataFiles | None = PrivateAttr(default=None)
    _watch: FileWatch | None = PrivateAttr(default=None)

    @abstractmethod
    def _files(self) -> list[FileSource]:
        """The files found now, in order. Raises UsageError if there are none."""

    @abstractmethod
    def _rows(self, files: list[FileSource], offset: int) -> Iterator[Row | RowError]:
        """The rows of all `files` together, from row `offset` on; a RowError in the place of one that has failed."""

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        """Yields the rows from row `offset` on.

        Raises:
            UsageError: no file matches, or a format is unknown.
            RunError: a file cannot be read; names file and line.
            FileChanged: a file has changed since the run began.
        """
        touches = 0
        while True:
            files, watch = self._watched()
            try:
                for rows, last in in_batches(self._rows(files, offset), self.batch_size, watch.check):
                    yield rows, last
                    offset, touches = offset + len(rows), 0
                return
            except FileTouched:  # yielded rows are right; rows read ahead may be torn
                touches += 1
                if touches == _TOUCHES:
                    raise

    def file_states(self) -> DataFiles:
        """The files as of the beginning of the run, or of this step's first look.

        Raises:
            UsageError: there is none.
        """
        if self._data is None:
            self._data = DataFiles.of(self._files())
        return self._data

    def fingerprint(self) -> str:
        """Digest of name, size, first and last bytes of each file, in order. Raises UsageError if there are none."""
        return self.file_states().fingerprint()

    def snapshot(self) -> str:
        """The files with all evidence of change."""
        return self.file_states().encode()

    def pin(self, snapshot: str) -> None:
        """Reads these files as they were, and no later content. Raises WireError for an invalid text."""
        self._data = DataFiles.decode(snapshot)

    def digests(self) -> list[str]:
        """Digests of `file_states`, in order, for files read whole here; empty for others."""
        found = self._watch.digests if self._watch is not None and self.file_states().is_here else {}
        return [found.get(state.path, "") for state in self.file_states().files]

    def digest_of(self, path: str) -> str:
        """Digest of all bytes of the file shown as `path`; reads them. Raises FileChanged if it is gone."""
        for source in self._files():
            if source.shown == path:
                return digest_of(source)
        raise FileChanged(path, "it is gone")

    def _watched(self) -> tuple[list[FileSource], FileWatch]:
        """The files of the run; each is compared whenever it is read."""
        data, found = self.file_states(), self._files()
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
