"""Files that are on the disk when a call returns, whole and under their names, also where the host dies then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path
from typing import IO

DRAFT_SUFFIX = ".tmp"


def replace_file(path: Path, data: bytes) -> None:
    """Puts a file in the place of the one that is there, if any: after a crash either of them is there, whole.

    One process at a time. Raises OSError (a full disk) with the old file as it was.
    """
    draft = path.with_name(f".{path.name}.new")
    with draft.open("wb") as file:
        file.write(data)
        sync_file(file)
    draft.replace(path)
    sync_folder(path.parent)


@contextmanager
def new_file(path: Path) -> Iterator[BufferedRandom]:
    """A file that the block writes, and may read: it has its name when it is whole. After an error there is none."""
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
    """What was written to `file` is on the disk; its name is once its folder is synced."""
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
