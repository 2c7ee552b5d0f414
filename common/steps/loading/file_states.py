"""What data files are like at one moment: enough to tell the same data in another run, and a change in this one."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from pydantic import ConfigDict, TypeAdapter, ValidationError

from common.errors import WireError
from common.steps.loading.file_sources import FileSource

END_BYTES = 64 << 10
"""Bytes of a head, and of a tail."""
SMALL_BYTES = 32 << 20
"""Files that have no more than this together are read whole when they are first looked at."""
_READ_BYTES = 1 << 20
_VERSIONS = ("VersionId", "version_id", "generation", "ETag", "etag", "blob_id", "CRC")
"""What filesystems call that which changes with the content of a file, the surest first."""


@dataclass(frozen=True, slots=True)
class FileState:
    """A file at one moment.

    Args:
        path: as messages show it.
        size: in bytes.
        head: digest of the first bytes; `tail`: of the last ones.
        time: of its last change, in nanoseconds; on other filesystems its version or etag, else the time that they
            give; empty where they give none.
        changed: when anything of it was last changed, its time included; in nanoseconds; 0 where that is not known.
        inode: 0 where there is none.
        whole: digest of all its bytes; empty where nobody has read them.
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
        """What is the same wherever, and whenever, the file was copied to."""
        return (PurePosixPath(self.path).name, self.size, self.head, self.tail)

    @property
    def stamp(self) -> str:
        """Changes with everything that is done to the file, also where its content stays."""
        return f"{self.time} {self.changed} {self.inode}"

    def difference(self, now: FileState, *, here: bool = True) -> str:
        """What shows that the file has changed since, in words; empty where nothing does.

        Args:
            here: is `now` of the same host? Elsewhere a copy has an inode of its own.
        """
        if now.size != self.size:
            return f"it has {now.size:,} bytes, and had {self.size:,}"
        if now.head != self.head:
            return "its first bytes are others"
        if now.tail != self.tail:
            return "its last bytes are others"
        if now.time != self.time:
            return f"it was written {_shown_time(now.time)}"
        return "another file has taken its name" if here and now.inode != self.inode else ""

    def change(self, now: FileState, read: Callable[[], str], *, here: bool = True) -> str:
        """What shows that the file holds something else, in words; empty where it holds the same, as far as is known.

        Where all its bytes are known they alone count. Where they are not, one of its mode, its owner or its links is
        none, and neither is one of bytes between head and tail whose time was put back: both show in `changed` alone.

        Args:
            read: gives the digest of all bytes of the file as it is now; called only where something was done to it.
            here: is `now` of the same host? Elsewhere a copy has times of its own.
        """
        difference = self.difference(now, here=here)
        if (now.size, now.head, now.tail) != (self.size, self.head, self.tail):
            return difference
        is_untouched = not difference and (now.changed == self.changed or not here)
        if self.whole and (now.whole or not is_untouched):
            return "" if (now.whole or read()) == self.whole else difference or "it holds something else"
        return difference if here else ""


@dataclass(frozen=True, slots=True)
class DataFiles:
    """The files of a step, in their order, as they were on one host."""

    host: str
    files: tuple[FileState, ...]

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    @classmethod
    def of(cls, sources: Iterable[FileSource]) -> DataFiles:
        """Looks at them; small ones are read whole. Raises OSError, or what their filesystem raises."""
        found = [(source, look(source)) for source in sources]
        data = cls(socket.gethostname(), tuple(state for _, state in found))
        return data.with_digests([digest_of(source) for source, _ in found]) if data.are_small else data

    def with_digests(self, digests: Iterable[str]) -> DataFiles:
        """Knows these digests as well, in the order of the files; an empty one says nothing."""
        pairs = zip(self.files, digests, strict=True)
        return replace(self, files=tuple(replace(state, whole=digest or state.whole) for state, digest in pairs))

    @property
    def are_small(self) -> bool:
        """May they be read before the first row?"""
        return sum(state.size for state in self.files) <= SMALL_BYTES

    @property
    def is_here(self) -> bool:
        """Are they of this host?"""
        return self.host == socket.gethostname()

    def encode(self) -> str:
        """JSON."""
        return TypeAdapter(DataFiles).dump_json(self).decode()

    @classmethod
    def decode(cls, text: str) -> DataFiles:
        """The inverse. Raises WireError: it is not what this version writes."""
        try:
            return TypeAdapter(DataFiles).validate_json(text)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise WireError(
                f"what is recorded of the data files of this run cannot be read ({problem}); start over with --fresh"
            ) from None

    def fingerprint(self) -> str:
        """32 hex digits for what they hold, as far as that is known before the first row; not for their times."""
        small = self.are_small
        lines = "\n".join("\t".join(map(str, (*state.content, state.whole * small))) for state in self.files)
        return hashlib.blake2b(lines.encode(), digest_size=16).hexdigest()


def look(source: FileSource, known: FileState | None = None) -> FileState:
    """The file as it is now.

    Args:
        known: the same file, whose head and tail are not to be read again.

    Raises:
        OSError: it cannot be read; other filesystems have errors of their own.
    """
    if source.is_local:
        with source.open_raw() as stream:
            found = os.fstat(stream.fileno())
            head, tail = (known.head, known.tail) if known else _ends(stream, found.st_size)
        return FileState(
            source.shown, found.st_size, head, tail, str(found.st_mtime_ns), found.st_ctime_ns, found.st_ino
        )
    filesystem, path = source.filesystem, source.path
    with suppress(Exception):  # each has a listing of its own, or none; some of them a stale one
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
    return f"anew ({time or 'its filesystem gives no time'})"
