"""A folder of files on this host, on a shared disk, or in an object store: whole files, errors in words."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import StoreAway, StoreError
from common.payloads.durable import sync_file, sync_folder
from common.words.secret_marks import has_password

_PERMANENT = (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
_MISTAKES = (ImportError, ValueError, TypeError, NotImplementedError)
_BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "r2"})
"""Protocols of object stores. They have no folders, and would create a bucket instead."""
_EXTRAS = {"s3": "penstock[s3]", "s3a": "penstock[s3]", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


@dataclass(frozen=True, slots=True)
class Folder:
    """The files in one folder, without subfolders.

    Every method raises StoreError if the folder is unusable, and StoreAway if that may be temporary.

    Args:
        url: a path, or an fsspec URL such as `s3://bucket/folder`.
    """

    url: str
    _opened: list[tuple[Any, str]] = field(default_factory=list, init=False, compare=False, repr=False)

    def put(self, name: str, data: bytes) -> None:
        """Writes a new file. It is durable when this returns."""
        with self._in_words("be written to"):
            if (local := self.local) is not None:
                _write(local / name, data)
                return
            filesystem, root = self._open()
            filesystem.pipe_file(f"{root}/{name}", data)

    def get(self, name: str) -> bytes:
        """Also raises FileNotFoundError."""
        with self._in_words("be read", missing=True):
            if (local := self.local) is not None:
                return (local / name).read_bytes()
            filesystem, root = self._open()
            data: bytes = filesystem.cat_file(f"{root}/{name}")
            return data

    def delete(self, name: str) -> None:
        """Ignores a missing file."""
        with self._in_words("be deleted from", missing=True), suppress(FileNotFoundError):
            if (local := self.local) is not None:
                (local / name).unlink()
                return
            filesystem, root = self._open()
            filesystem.rm_file(f"{root}/{name}")

    def names(self) -> list[str]:
        """Its files; none if it does not exist."""
        with self._in_words("be listed", missing=True):
            try:
                if (local := self.local) is not None:
                    return os.listdir(local)
                filesystem, root = self._open()
                filesystem.invalidate_cache()  # files that other hosts have written since
                return [str(path).rstrip("/").rpartition("/")[2] for path in filesystem.ls(root, detail=False)]
            except FileNotFoundError:
                return []

    def make(self) -> None:
        """Creates the folder; a bucket must exist."""
        with self._in_words("be made"):
            if (local := self.local) is not None:
                local.mkdir(parents=True, exist_ok=True)
            elif self.protocol not in _BUCKETS:
                filesystem, root = self._open()
                filesystem.makedirs(root, exist_ok=True)

    def remove(self) -> None:
        """Deletes the folder with everything in it, subfolders included."""
        with self._in_words("be removed", missing=True), suppress(FileNotFoundError):
            if (local := self.local) is not None:
                shutil.rmtree(local, ignore_errors=True)  # others may be deleting in it
                if local.exists():
                    shutil.rmtree(local)
                return
            filesystem, root = self._open()
            filesystem.invalidate_cache()
            if filesystem.exists(root):
                filesystem.rm(root, recursive=True)

    def try_out(self) -> None:
        """Writes a file, reads it and deletes it."""
        name, data = f".probe-{secrets.token_hex(6)}", secrets.token_bytes(16)
        self.put(name, data)
        try:
            found = self.get(name)
        except FileNotFoundError:
            found = b""
        self.delete(name)
        if found != data:
            raise StoreError(f"{self.url} does not return what was written to it")

    @property
    def protocol(self) -> str:
        """Such as `s3`; `file` for a path."""
        return self.url.partition("://")[0] if "://" in self.url else "file"

    @property
    def local(self) -> Path | None:
        """The path, where it is one of a file system."""
        return Path(self.url.removeprefix("file://")) if self.protocol == "file" else None

    def _open(self) -> tuple[Any, str]:
        """One connection for all threads: fsspec would open one per thread, which is slow."""
        if not self._opened:
            import fsspec

            # Object stores look a file up in their last listing, and another host may have written it since.
            options = {"use_listings_cache": False} if self.protocol in _BUCKETS else {}
            filesystem, root = fsspec.core.url_to_fs(self.url, **options)
            self._opened.append((filesystem, str(root).rstrip("/")))
        return self._opened[0]

    @contextmanager
    def _in_words(self, what: str, *, missing: bool = False) -> Iterator[None]:
        """Puts errors into words; each store has its own.

        Args:
            missing: the caller handles missing files.
        """
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            if missing and isinstance(error, FileNotFoundError):
                raise
            words = f"{self.url} cannot {what}: {_say(error)}"
            if isinstance(error, ImportError):
                package = _EXTRAS.get(self.protocol)
                raise StoreError(f"{words}; pip install '{package}'" if package else words) from error
            if isinstance(error, _PERMANENT + _MISTAKES) or "Credential" in type(error).__name__:
                raise StoreError(words + self._remedy(error)) from error
            raise StoreAway(words) from error

    def _remedy(self, error: Exception) -> str:
        if isinstance(error, FileNotFoundError):
            return "; create the bucket first" if self.protocol in _BUCKETS else "; is it mounted?"
        if isinstance(error, PermissionError) or "Credential" in type(error).__name__:
            keys = " (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws)" if self.protocol == "s3" else ""
            return f"; credentials come from the environment{keys}" if self.local is None else ""
        return ""


def check_url(url: str) -> None:
    """Raises StoreError for a URL with a secret, or for an unknown or uninstalled kind of store."""
    if has_password(url):
        raise StoreError(
            "it contains a password, which would pass through the broker and be recorded: remove it, and let each "
            "host take its credentials from the environment"
        )
    folder = Folder(url)
    if folder.local is None:
        import fsspec

        with folder._in_words("be used"):
            fsspec.get_filesystem_class(folder.protocol.partition("::")[0])


def _write(path: Path, data: bytes) -> None:
    """File and name are on disk when this returns: the journal entry that refers to it may be there at once."""
    with path.open("xb") as file:
        try:
            file.write(data)
            sync_file(file)
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise
    sync_folder(path.parent)


def _say(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."
