"""Deletes folders: they vanish at once under their name, even if the deleting process dies."""

from __future__ import annotations

import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

_ASIDE = re.compile(r"\..+\.removed-[0-9a-f]{12}")


def discard(path: Path) -> None:
    """Renames a folder or a file in place, then deletes it. Does nothing if it does not exist.

    Raises OSError. If it was renamed by then, the rest is named `.NAME.removed-<random>` and left to `sweep`.
    """
    aside = path.with_name(f".{path.name}.removed-{secrets.token_hex(6)}")
    with suppress(FileNotFoundError):
        path.rename(aside)
        _delete(aside)


def sweep(folder: Path) -> bool:
    """Deletes the leftovers of `discard` in a folder as far as possible, and returns whether there were any."""
    found = False
    with suppress(OSError):
        for path in folder.iterdir():
            if _ASIDE.fullmatch(path.name):
                found = True
                with suppress(OSError):
                    _delete(path)
    return found


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)  # another process may be sweeping it too
        if path.exists():
            shutil.rmtree(path)
    else:
        path.unlink()
