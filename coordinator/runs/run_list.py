"""The run directories of a cache, without the leftovers of `discard`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from common.errors import RunError
from coordinator.runs.discard import sweep
from coordinator.runs.run_directory import RunDirectory, RunRecord

logger = logging.getLogger(__name__)


def list_runs(cache: Path) -> list[tuple[RunDirectory, RunRecord]]:
    """Every recorded run in `cache`, newest first. Unreadable records are logged and left out."""
    return sorted(_recorded(_directories(cache), RunDirectory.read), key=lambda run: run[1].created, reverse=True)


def condemned_runs(cache: Path) -> list[tuple[RunDirectory, RunRecord]]:
    """Runs whose removal was begun by a process that is gone."""
    left = (directory for directory in _directories(cache) if directory.is_condemned and directory.holder() is None)
    return list(_recorded(left, RunDirectory.read_condemned))


def folders_of_runs(pipeline: Path) -> list[Path]:
    """Possible run directories in the folder of a pipeline, sorted by name. Hidden folders are not among them."""
    return sorted(path for path in pipeline.glob("*/") if not path.name.startswith("."))


def sweep_cache(cache: Path) -> None:
    """Deletes what is left of directories whose removal was interrupted."""
    for folder in cache.glob("*/"):
        if sweep(folder):
            with contextlib.suppress(OSError):
                folder.rmdir()  # if nothing else was there


def _directories(cache: Path) -> Iterator[RunDirectory]:
    for pipeline in folders_of_runs(cache):
        yield from map(RunDirectory, folders_of_runs(pipeline))


def _recorded(
    directories: Iterable[RunDirectory], read: Callable[[RunDirectory], RunRecord | None]
) -> Iterator[tuple[RunDirectory, RunRecord]]:
    for directory in directories:
        try:
            record = read(directory)
        except RunError as error:
            logger.warning("%s", error)
            continue
        if record is not None:
            yield directory, record
