"""Folders that are deleted: gone at once under their name, whenever the process that deletes them dies."""

from __future__ import annotations

import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

_ASIDE = re.compile(r"\..+\.removed-[0-9a-f]{12}")


def discard(path: Path) -> None:
    """Renames a folder or a file beside itself, then deletes it. What is not there is passed over.

    Raises OSError. If it was renamed before, the rest of it has the name `.NAME.removed-<random>` and is for `sweep`.
    """
    aside = path.with_name(f".{path.name}.removed-{secrets.token_hex(6)}")
    with suppress(FileNotFoundError):
        path.rename(aside)
        _delete(aside)


def sweep(folder: Path) -> bool:
    """Deletes what those who died in `discard` have left in a folder; what cannot be deleted stays. Was there any?"""
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
        shutil.rmtree(path, ignore_errors=True)  # somebody else may be sweeping it as well
        if path.exists():
            shutil.rmtree(path)
    else:
        path.unlink()
