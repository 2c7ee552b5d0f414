"""A lock on a file, which the kernel releases when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.protocol.holder import Holder

LOOK_INTERVAL = 0.02
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def take_lock(path: Path) -> int | None:
    """The locked file, with the name of this process in it; None if it was removed meanwhile: try again.

    Raises BlockingIOError if another process has the lock, and OSError if there are no locks.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not is_still_at(file, path):
            os.close(file)
            return None
        os.ftruncate(file, 0)
        os.write(file, f"{this_process()}\n".encode())
    except OSError:
        os.close(file)
        raise
    return file


@contextmanager
def locked(path: Path, patience: float, tell: Callable[[str], None]) -> Iterator[bool]:
    """Holds the lock, and leaves no file behind; a file left by a dead holder is not a lock.

    Args:
        patience: seconds to wait for another holder.
        tell: is told once who the holder is, such as `process 4711 on gpu-2`.

    Yields:
        False if the file system has no locks.

    Raises TimeoutError, which names the holder, and OSError.
    """
    try:
        file = _wait(path, patience, tell)
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
        path.unlink(missing_ok=True)
        file = None
    if file is None:
        yield False
        return
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # before it is released: no one else has it yet
        os.close(file)


def _wait(path: Path, patience: float, tell: Callable[[str], None]) -> int:
    deadline, told = time.monotonic() + patience, False
    while True:
        try:
            if (file := take_lock(path)) is not None:
                return file
        except BlockingIOError:
            holder = str(holder_of_lock(path))
            if time.monotonic() >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, holder, str(path)) from None
            if not told:
                tell(holder)
                told = True
            time.sleep(LOOK_INTERVAL)


def holder_of_lock(path: Path) -> Holder:
    """The name that the holder wrote into a lock."""
    with contextlib.suppress(OSError):
        return Holder.named(path.read_text(encoding="utf-8", errors="replace"))
    return Holder(None, "")


def this_process() -> Holder:
    """The form in which locks hold it."""
    return Holder(os.getpid(), socket.gethostname())


def is_still_at(file: int, path: Path) -> bool:
    """Whether the open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
