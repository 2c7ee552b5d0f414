"""Tells whether two paths lead to the same file or folder."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Device and inode. No two files or folders of a host share them while both exist.

    A file or folder that moves within its file system keeps them. A copy has its own.
    """

    device: int
    inode: int

    @classmethod
    def at(cls, path: Path) -> FileIdentity:
        """What a path leads to, after all links. Raises OSError if nothing is there."""
        return cls.told_by(path.stat())

    @classmethod
    def seen_at(cls, path: Path) -> FileIdentity | None:
        """What a path leads to, or None if nothing is there or it cannot be read."""
        with suppress(OSError):
            return cls.at(path)
        return None

    @classmethod
    def told_by(cls, status: os.stat_result) -> FileIdentity:
        """The identity in the result of an earlier `stat`."""
        return cls(status.st_dev, status.st_ino)
