"""Detects that a data file changes while its rows are read."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO, cast

from common.errors import FileChanged
from common.steps.loading.file_sources import FileSource
from common.steps.loading.file_states import DataFiles, FileState, digest_of, look

_BUFFER_BYTES = 1 << 20
_ENDS_SECONDS = 1.0
"""How often head and tail are compared between batches: some filesystems only have whole seconds."""
_DIGEST_BYTES = 1 << 30
"""A local file up to this size is reread for its digest if its format is not read sequentially."""


class FileTouched(FileChanged):
    """The file was rewritten with the same content; what was read meanwhile may be torn."""


class FileWatch:
    """Compares the files of a step with their state when the run began.

    Attributes:
        digests: of the files read whole, by path.
    """

    def __init__(self, known: DataFiles) -> None:
        self._known = {state.path: state for state in known.files}
        self._stamps = {state.path: state.stamp for state in known.files}
        self._here = known.is_here
        self._source: FileSource | None = None
        self._tap: _Tap | None = None
        self._ends_at = 0.0
        self.digests: dict[str, str] = {}

    def check(self, *, ends: bool = False) -> None:
        """Checks the file being read.

        Args:
            ends: always compare head and tail.

        Raises:
            FileChanged: it has changed; nothing read since the last check may be used.
        """
        if (source := self._source) is None:
            return
        if self._tap is not None and not self._tap.has_news() and not ends:
            return  # asking a remote filesystem is slow
        now = time.monotonic()
        ends = ends or (source.is_local and now >= self._ends_at)
        self._ends_at = now + _ENDS_SECONDS if ends else self._ends_at
        known = self._known[source.shown]
        found = self._look(source, known, ends=ends)
        if difference := known.change(found, partial(digest_of, source)):
            raise FileChanged(source.shown, difference)
        if known.whole and known.stamp != found.stamp:
            raise FileTouched(source.shown, known.difference(found) or "it was touched")

    @contextmanager
    def reading(self, source: FileSource) -> Iterator[None]:
        """Compares a file when it is opened, and after it was read to its end.

        Raises:
            FileChanged: it is not as it was.
        """
        self._admit(source)
        self._source, self._tap = source, None
        yield
        self.check(ends=True)
        self._note_digest(source)
        self._source = self._tap = None

    def tap(self, raw: BinaryIO) -> BinaryIO:
        """The stream of the file being read, whose digest is known once it was read whole."""
        assert self._source is not None
        self._tap = _Tap(raw, remote=not self._source.is_local)
        return cast(BinaryIO, io.BufferedReader(self._tap, _BUFFER_BYTES))

    def _admit(self, source: FileSource) -> None:
        """Takes the current state as the reference from now on, if the file has not changed since the run began."""
        known = self._known[source.shown]
        found = self._look(source, known, ends=True)
        here = self._here or not source.is_local
        if difference := known.change(found, partial(digest_of, source), here=here):
            raise FileChanged(source.shown, difference)
        self._known[source.shown] = replace(found, whole=known.whole)

    def _look(self, source: FileSource, known: FileState, *, ends: bool) -> FileState:
        # A version says more than head and tail, which take two requests.
        ends = ends and (source.is_local or not known.time)
        try:
            return look(source, None if ends else known)
        except FileNotFoundError:
            raise FileChanged(source.shown, "it is gone") from None

    def _note_digest(self, source: FileSource) -> None:
        known = self._known[source.shown]
        if known.whole:
            return
        digest = self._tap.digest if self._tap is not None else ""
        if not digest and source.is_local and known.size <= _DIGEST_BYTES:
            digest = digest_of(source)
            self.check(ends=True)
        if digest and self._look(source, known, ends=False).stamp == self._stamps[source.shown]:
            self.digests[source.shown] = digest


class _Tap(io.RawIOBase):
    """Passes a stream on, and computes its digest if it is read from front to end."""

    def __init__(self, raw: BinaryIO, *, remote: bool) -> None:
        import xxhash

        self._raw = raw
        self._remote = remote
        self._hash = xxhash.xxh3_128()
        self._hashed = 0
        self._position = 0
        self._ended = False
        self._news = True

    @property
    def digest(self) -> str:
        """The digest; empty if some of the stream was skipped."""
        return str(self._hash.hexdigest()) if self._ended and self._hashed == self._position else ""

    def has_news(self) -> bool:
        """Whether there is anything new since the last call."""
        news, self._news = self._news or not self._remote, False
        return news

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = self._raw.seek(offset, whence)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        self._news = True
        if data and self._position == self._hashed:
            self._hash.update(data)
            self._hashed += len(data)
        self._ended = self._ended or not data
        self._position += len(data)
        buffer[: len(data)] = data
        return len(data)
