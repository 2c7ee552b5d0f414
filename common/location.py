"""Where an error was raised, from the user's view: a line of the user's own code, not of a library it calls."""

from __future__ import annotations

import os
import sysconfig
import traceback
from enum import IntEnum
from functools import lru_cache
from pathlib import Path

OUR_PACKAGES = ("common", "coordinator", "penstock", "worker")
INSTALLED = ("site-packages", "dist-packages")
"""Folders of installed packages."""
_OURS = tuple(os.path.join(Path(__file__).resolve().parent.parent, name, "") for name in OUR_PACKAGES)
_PYTHON = tuple(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib"))


class Origin(IntEnum):
    """Whose code it is; the higher, the closer to the user."""

    GENERATED = 0
    PYTHON = 1
    OURS = 2
    INSTALLED = 3
    USERS = 4


def place_of(error: BaseException) -> str:
    """`file:line` of the innermost frame outside installed packages; empty for an error without a traceback.

    If all code is installed, the innermost line of the step's own package.
    """
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    origins = [origin_of(file) for file, _ in frames]
    if not frames:
        return ""
    if (nearest := max(origins)) is Origin.INSTALLED:
        package = _package(next(file for (file, _), origin in zip(frames, origins, strict=True) if origin is nearest))
        file, line = [frame for frame in frames if _package(frame[0]) == package][-1]
    elif nearest is Origin.USERS:
        file, line = [frame for frame, origin in zip(frames, origins, strict=True) if origin is nearest][-1]
    else:
        file, line = frames[-1]
    return f"{file}:{line}"


@lru_cache(maxsize=1_000)
def origin_of(file: str) -> Origin:
    """Whose code a file contains."""
    if file.startswith("<"):
        return Origin.GENERATED
    if any(part in INSTALLED for part in file.split(os.sep)):
        return Origin.INSTALLED
    if file.startswith(_PYTHON):
        return Origin.PYTHON
    return Origin.OURS if file.startswith(_OURS) else Origin.USERS


def _package(file: str) -> str:
    """The installed folder or module of an installed file."""
    parts = file.split(os.sep)
    for index, part in enumerate(parts):
        if part in INSTALLED:
            return os.sep.join(parts[: index + 2])
    return ""
