"""Finding and opening data files: local paths and fsspec URLs, globs, compression."""

from __future__ import annotations

import gzip
import io
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from common.errors import UsageError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

COMPRESSIONS = (".gz", ".zst")
_ZSTD_BYTES = 1 << 10
"""Compressed bytes at a time: few, since their decompressed size is unlimited."""


class DamagedData(OSError):
    """Compressed data that cannot be decompressed."""


class Watch(Protocol):
    """Compares a file, while it is read, with its earlier state."""

    def reading(self, source: FileSource) -> AbstractContextManager[None]:
        """Wraps the reading of a file. Raises FileChanged if it has changed."""

    def tap(self, raw: BinaryIO) -> BinaryIO:
        """The stream of the file being read, observed as it passes."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """One file.

    Args:
        filesystem: its fsspec filesystem.
        path: its path there.
        watch: compares the file whenever it is read; without one, it is not compared.
    """

    filesystem: AbstractFileSystem
    path: str
    watch: Watch | None = field(default=None, compare=False)

    @property
    def shown(self) -> str:
        """The file in messages: a plain path for a local one, a URL otherwise."""
        return self.path if self.is_local else str(self.filesystem.unstrip_protocol(self.path))

    @property
    def suffix(self) -> str:
        """The suffix that tells the format: that of `a.jsonl.gz` is `.jsonl`."""
        return format_suffix(self.path)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The decompressed bytes.

        Raises:
            EOFError, OSError, zlib.error: while reading a damaged or truncated compressed file.
            FileChanged: it has changed.
        """
        compression = PurePosixPath(self.path).suffix.lower()
        with self.compared(), self.open_raw() as file:
            raw = self.watch.tap(file) if self.watch is not None else file
            if compression == ".gz":
                yield cast(BinaryIO, gzip.GzipFile(fileobj=raw))
            elif compression == ".zst":
                yield io.BufferedReader(_ZstdFrames(raw))
            else:
                yield raw

    def open_raw(self) -> BinaryIO:
        """The stored bytes; can seek."""
        return open(self.path, "rb") if self.is_local else cast(BinaryIO, self.filesystem.open(self.path, "rb"))

    @contextmanager
    def map(self) -> Iterator[Any]:
        """The stored bytes, for Arrow: a local file is mapped, so skipped parts are not read.

        Raises:
            FileChanged: it has changed.
        """
        import pyarrow as pa

        with (
            self.compared(),
            pa.memory_map(self.path) if self.is_local else pa.PythonFile(self.open_raw(), "r") as stored,
        ):
            yield stored

    @property
    def is_local(self) -> bool:
        """Whether the file is on this host."""
        return "file" in self.protocols

    @property
    def protocols(self) -> tuple[str, ...]:
        """The names of its filesystem, such as `s3` and `s3a`."""
        return _protocols(self.filesystem)

    def compared(self) -> AbstractContextManager[None]:
        """Around everything that is read of it otherwise than by `open` and `map`. Raises FileChanged."""
        return self.watch.reading(self) if self.watch is not None else nullcontext()


def find_files(patterns: Sequence[str], storage_options: dict[str, Any]) -> list[FileSource]:
    """The files of all patterns: in the order of the patterns, sorted by path within each, each file once.

    Raises:
        UsageError: a pattern matches no file.
    """
    from fsspec.core import url_to_fs

    found: dict[str, FileSource] = {}
    for pattern in patterns:
        filesystem, path = url_to_fs(os.path.expanduser(pattern), **storage_options)
        # A file may have a name such as `a[1].jsonl`.
        matches = [path] if filesystem.isfile(path) else _glob(filesystem, path)
        if not matches:
            raise UsageError(_no_match(pattern, filesystem, path))
        for match in matches:
            source = FileSource(filesystem, match)
            found.setdefault(source.shown, source)
    return list(found.values())


def is_pattern(path: str) -> bool:
    """Whether the path has wildcards."""
    return any(character in path for character in "*?[")


def format_suffix(path: str) -> str:
    """The last suffix of a path in lower case, without that of a compression; empty if there is none."""
    name = PurePosixPath(path.partition("::")[0])  # the innermost file of a chained URL, `zip://a.csv::s3://b/c.zip`
    if name.suffix.lower() in COMPRESSIONS:
        name = name.with_suffix("")
    return name.suffix.lower()


def _glob(filesystem: AbstractFileSystem, path: str) -> list[str]:
    if not is_pattern(path):
        return []
    return sorted(match for match in filesystem.glob(path) if filesystem.isfile(match))


def _no_match(pattern: str, filesystem: AbstractFileSystem, path: str) -> str:
    shown = path if "file" in _protocols(filesystem) else filesystem.unstrip_protocol(path)
    host = socket.gethostname()
    if filesystem.isdir(path):
        return f"path '{pattern}' is a folder ({shown} on host {host}); name the files in it, such as {pattern}/*.jsonl"
    return (
        f"path '{pattern}' matches no file; looked for {shown} on host {host}; a relative path starts at the "
        "folder of the spec, or at the --base-dir of a worker"
    )


def _protocols(filesystem: AbstractFileSystem) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


class _ZstdFrames(io.RawIOBase):
    """Decompresses all frames of a zstd stream. The library's reader mistakes a truncated file for a shorter one."""

    def __init__(self, source: BinaryIO) -> None:
        import zstandard

        self._source = source
        self._error = zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame: Any = None
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._output:
            if not self._input:
                self._input = self._source.read(_ZSTD_BYTES)
            if not self._input:
                if self._frame is not None:
                    raise EOFError("the file ends in the middle of its compressed data")
                return 0
            self._decompress()
        count = min(len(buffer), len(self._output))
        buffer[:count] = self._output[:count]
        self._output = self._output[count:]
        return count

    def _decompress(self) -> None:
        if self._frame is None:
            self._frame = self._decompressor.decompressobj()
        try:
            self._output = memoryview(self._frame.decompress(self._input))
        except self._error as error:
            raise DamagedData(f"damaged zstd data: {error}") from None
        self._input = b""
        if self._frame.eof:
            self._input, self._frame = self._frame.unused_data, None
