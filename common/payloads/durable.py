"""Files that are on disk when a call returns, whole and under their names, even if the host dies then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path
from typing import IO

DRAFT_SUFFIX = ".tmp"


def replace_file(path: Path, data: bytes) -> None:
    """Replaces a file, or creates it: after a crash, either the old or the new one exists, whole.

    One process at a time. Raises OSError (a full disk) and leaves the old file unchanged.
    """
    draft = path.with_name(f".{path.name}.new")
    with draft.open("wb") as file:
        file.write(data)
        sync_file(file)
    draft.replace(path)
    sync_folder(path.parent)


@contextmanager
def new_file(path: Path) -> Iterator[BufferedRandom]:
    """A file that the block writes, and may read: it gets its name when whole. After an error it does not exist."""
    draft = path.with_name(path.name + DRAFT_SUFFIX)
    try:
        with draft.open("w+b") as file:
            yield file
            sync_file(file)
        draft.rename(path)
        sync_folder(path.parent)
    except BaseException:
        for leftover in (draft, path):
            with suppress(OSError):
                leftover.unlink()
        raise


def sync_file(file: IO[bytes]) -> None:
    """Syncs the content of `file` to disk; its name is durable once its folder is synced."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` as durable as the files behind them."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def sync_tree(folder: Path) -> None:
    """Files and folders below `folder`, whoever wrote them; links are not followed."""
    for parent, _, files in os.walk(folder):
        for path in (*(os.path.join(parent, file) for file in files), parent):
            if not os.path.islink(path):
                _sync(path, os.O_RDONLY)


def _sync(path: str | Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
