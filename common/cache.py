"""Where this host keeps runs, and data that a spec cannot hold."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from common.errors import UsageError

CACHE_VARIABLE = "PENSTOCK_CACHE_DIR"


def cache_directory(argument: Path | None = None) -> Path:
    """The folder of run directories: `argument`, else PENSTOCK_CACHE_DIR, else `penstock` in the user's cache folder.

    Raises:
        UsageError: the user has no home folder.
    """
    if argument is not None:
        return argument.expanduser().absolute()
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser().absolute()
    if (caches := os.environ.get("XDG_CACHE_HOME")) and os.path.isabs(caches):  # XDG: ignore a relative path
        return Path(caches) / "penstock"
    try:
        return Path.home() / ".cache" / "penstock"
    except RuntimeError:
        raise UsageError(f"no home folder to keep runs in; set {CACHE_VARIABLE} or --cache-dir") from None


def make_private(folder: Path) -> None:
    """Creates a folder and its missing parents, for this user alone (0700), whatever the umask.

    An existing folder of this user is closed to others as well. Raises OSError.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)  # another process may be creating it as well
        _close(path)
    _close(folder)


def _close(folder: Path) -> None:
    found = folder.stat()
    mode = stat.S_IMODE(found.st_mode)
    closed = mode & ~0o077 | 0o700
    if mode != closed and found.st_uid == os.geteuid():
        with suppress(PermissionError):  # a file system without modes
            folder.chmod(closed)
