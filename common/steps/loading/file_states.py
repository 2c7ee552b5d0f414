"""The state of data files at one moment: enough to recognize the same data in another run, and a change in this one."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, BinaryIO, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from common.errors import UsageError, WireError
from common.steps.loading.file_sources import FileSource

Found = TypeVar("Found")

END_BYTES = 64 << 10
"""Size of a head and a tail, in bytes."""
SMALL_BYTES = 32 << 20
"""Total bytes up to which files are read whole at the first look."""
_READ_BYTES = 1 << 20
_VERSIONS = ("VersionId", "version_id", "generation", "ETag", "etag", "blob_id", "CRC")
"""Filesystems' names for facts that change with a file's content, the most reliable first."""


@dataclass(frozen=True, slots=True)
class FileState:
    """The state of a file at one moment.

    Args:
        path: as messages show it.
        size: in bytes.
        head: digest of the first bytes; `tail`: of the last ones.
        time: of its last change, in nanoseconds; on other filesystems its version or etag, else their time; empty if
            there is none.
        changed: when anything about it last changed, its time included; in nanoseconds; 0 if unknown.
        inode: 0 if there is none.
        whole: digest of all its bytes; empty if they were not read.
    """

    path: str
    size: int
    head: str
    tail: str
    time: str
    changed: int = 0
    inode: int = 0
    whole: str = ""

    @property
    def content(self) -> tuple[str, int, str, str]:
        """The facts that survive copying the file."""
        return (PurePosixPath(self.path).name, self.size, self.head, self.tail)

    @property
    def stamp(self) -> str:
        """Changes with everything done to the file, even if its content stays."""
        return f"{self.time} {self.changed} {self.inode}"

    def difference(self, now: FileState, *, here: bool = True) -> str:
        """The evidence that the file has changed since, in words; empty if there is none.

        Args:
            here: is `now` from the same host? On another, a copy has another inode.
        """
        if now.size != self.size:
            return f"it has {now.size:,} bytes, but had {self.size:,}"
        if now.head != self.head:
            return "its first bytes differ"
        if now.tail != self.tail:
            return "its last bytes differ"
        if now.time != self.time:
            return f"it was written {_shown_time(now.time)}"
        return "another file has its name" if here and now.inode != self.inode else ""

    def change(self, now: FileState, read: Callable[[], str], *, here: bool = True) -> str:
        """The evidence that the content has changed, in words; empty if it is the same, as far as known.

        If all its bytes are known, they alone count. If not, a change of its mode, owner or links does not count, nor
        does one of bytes between head and tail whose time was reset: both show only in `changed`.

        Args:
            read: returns the digest of all current bytes; called only if something was done to the file.
            here: is `now` from the same host? On another, a copy has other times.
        """
        difference = self.difference(now, here=here)
        if (now.size, now.head, now.tail) != (self.size, self.head, self.tail):
            return difference
        is_untouched = not difference and (now.changed == self.changed or not here)
        if self.whole and (now.whole or not is_untouched):
            return "" if (now.whole or read()) == self.whole else difference or "its content differs"
        return difference if here else ""


@dataclass(frozen=True, slots=True)
class DataFiles:
    """The state of a step's files, in order, on one host."""

    host: str
    files: tuple[FileState, ...]

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    @classmethod
    def of(cls, sources: Iterable[FileSource]) -> DataFiles:
        """Inspects them; small ones are read whole.

        Raises:
            UsageError: one of them cannot be read. Other filesystems have errors of their own.
        """
        found = [(source, _readable(source, look)) for source in sources]
        data = cls(socket.gethostname(), tuple(state for _, state in found))
        return data.with_digests([_readable(source, digest_of) for source, _ in found]) if data.are_small else data

    def with_digests(self, digests: Iterable[str]) -> DataFiles:
        """Adds these digests, in the order of the files; an empty one is unknown."""
        pairs = zip(self.files, digests, strict=True)
        return replace(self, files=tuple(replace(state, whole=digest or state.whole) for state, digest in pairs))

    @property
    def are_small(self) -> bool:
        """Whether the files are small enough to be read before the first row."""
        return sum(state.size for state in self.files) <= SMALL_BYTES

    @property
    def is_here(self) -> bool:
        """Whether the files are on this host."""
        return self.host == socket.gethostname()

    def encode(self) -> str:
        """JSON."""
        return TypeAdapter(DataFiles).dump_json(self).decode()

    @classmethod
    def decode(cls, text: str) -> DataFiles:
        """The inverse. Raises WireError for text that this version does not write."""
        try:
            return TypeAdapter(DataFiles).validate_json(text)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise WireError(
                f"the run's record of its data files cannot be read ({problem}); start over with --fresh"
            ) from None

    def fingerprint(self) -> str:
        """32 hex digits for their content, as far as known before the first row, but not for their times."""
        small = self.are_small
        lines = "\n".join("\t".join(map(str, (*state.content, state.whole * small))) for state in self.files)
        return hashlib.blake2b(lines.encode(), digest_size=16).hexdigest()


def _readable(source: FileSource, read: Callable[[FileSource], Found]) -> Found:
    try:
        return read(source)
    except OSError as error:
        raise UsageError(f"{source.shown} cannot be read: {error}; make it readable, or leave it out") from None


def look(source: FileSource, known: FileState | None = None) -> FileState:
    """The current state of the file.

    Args:
        known: an earlier state; its head and tail are reused.

    Raises:
        OSError: it cannot be read; other filesystems have their own errors.
    """
    if source.is_local:
        with source.open_raw() as stream:
            found = os.fstat(stream.fileno())
            head, tail = (known.head, known.tail) if known else _ends(stream, found.st_size)
        return FileState(
            source.shown, found.st_size, head, tail, str(found.st_mtime_ns), found.st_ctime_ns, found.st_ino
        )
    filesystem, path = source.filesystem, source.path
    with suppress(Exception):  # each has its own listing, or none; some are stale
        filesystem.invalidate_cache(filesystem._parent(path))
    facts = filesystem.info(path)
    size = int(facts.get("size") or 0)
    if known:
        head, tail = known.head, known.tail
    else:
        with source.open_raw() as stream:
            head, tail = _ends(stream, size)
    return FileState(source.shown, size, head, tail, _version(source, facts))


def digest_of(source: FileSource) -> str:
    """Digest of all bytes of the file; reads them."""
    import xxhash

    digest = xxhash.xxh3_128()
    with source.open_raw() as stream:
        while data := stream.read(_READ_BYTES):
            digest.update(data)
    return digest.hexdigest()


def _ends(stream: BinaryIO, size: int) -> tuple[str, str]:
    head = stream.read(END_BYTES)
    stream.seek(max(0, size - END_BYTES))
    return _short_digest(head), _short_digest(stream.read(END_BYTES))


def _short_digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def _version(source: FileSource, facts: dict[str, Any]) -> str:
    for name in _VERSIONS:
        if facts.get(name):
            return f"{name} {facts[name]}"
    try:
        return str(source.filesystem.modified(source.path).timestamp())
    except (NotImplementedError, AttributeError, KeyError, TypeError):  # plain http, for one, has no times
        return ""


def _shown_time(time: str) -> str:
    if time.isdecimal():
        return f"at {datetime.fromtimestamp(int(time) / 1e9):%Y-%m-%d %H:%M:%S}"
    return f"again ({time or 'its filesystem gives no time'})"
