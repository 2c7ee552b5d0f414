"""Where runs, and data that no spec could hold, are kept on this host."""

from __future__ import annotations

import os
from pathlib import Path

from common.errors import UsageError

CACHE_VARIABLE = "PENSTOCK_CACHE_DIR"


def cache_directory(argument: Path | None = None) -> Path:
    """Where run directories are: `argument`, else PENSTOCK_CACHE_DIR, else `penstock` in the user's cache folder.

    Raises:
        UsageError: the user has no home folder.
    """
    if argument is not None:
        return argument.expanduser().absolute()
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser().absolute()
    if (caches := os.environ.get("XDG_CACHE_HOME")) and os.path.isabs(caches):  # the XDG standard: else ignore it
        return Path(caches) / "penstock"
    try:
        return Path.home() / ".cache" / "penstock"
    except RuntimeError:
        raise UsageError(f"there is no home folder to keep runs in; set {CACHE_VARIABLE} or --cache-dir") from None
