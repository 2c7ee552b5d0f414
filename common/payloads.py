"""Payloads outside the broker: files in a folder that every host reaches, for what is large or waits long.

The reference in the journal is the truth: a file has a random part in its name, so that two workers never write the
same one, and a file that no committed result names is an orphan, to be collected.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from common.batch import Payload
from common.errors import PayloadMissing, RunError


@dataclass(frozen=True, slots=True)
class FileStore:
    """Payloads as files below an fsspec URL or a local folder.

    Args:
        url: a folder of the run's own, which every worker and the coordinator reach.
    """

    url: str

    def write(self, step: str, seq: int, attempt: int, data: bytes) -> str:
        """Stores a payload and returns its name.

        Raises:
            RunError: the folder cannot be written.
        """
        name = f"{step}-{seq}-{attempt}-{secrets.token_hex(6)}"
        filesystem, folder = self._open()
        try:
            filesystem.makedirs(folder, exist_ok=True)
            with filesystem.open(f"{folder}/{name}", "wb") as file:
                file.write(data)
                if "file" in (filesystem.protocol if isinstance(filesystem.protocol, tuple) else ()):
                    file.flush()
                    os.fsync(file.fileno())  # the journal that will name it may be on disk before it
        except OSError as error:
            raise RunError(f"payload {name} cannot be written to {self.url}: {error}") from error
        return name

    def read(self, payload: Payload) -> bytes:
        """Raises PayloadMissing."""
        filesystem, folder = self._open()
        try:
            data: bytes = filesystem.cat_file(f"{folder}/{payload.external}")
        except FileNotFoundError:
            raise PayloadMissing(f"{self.url}/{payload.external}") from None
        return data

    def delete(self, names: Iterable[str]) -> None:
        """Deletes files; those that are gone are passed over."""
        filesystem, folder = self._open()
        for name in names:
            try:
                filesystem.rm_file(f"{folder}/{name}")
            except FileNotFoundError:
                continue

    def remove(self) -> None:
        """Deletes the folder: those released lately, and orphans that no committed result ever named."""
        filesystem, folder = self._open()
        if filesystem.exists(folder):
            filesystem.rm(folder, recursive=True)

    def _open(self) -> tuple[Any, str]:
        import fsspec

        filesystem, folder = fsspec.core.url_to_fs(self.url)
        return filesystem, str(folder).rstrip("/")
