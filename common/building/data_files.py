"""The data files of a pipeline: those that its loaders read, and those that its steps' parameters name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from common.building.stand_in import StandIn, Undescribed
from common.errors import FileChanged, UsageError
from common.steps.base import BaseStep
from common.steps.loading.file_loader import FileLoader
from common.steps.loading.file_sources import FileSource
from common.steps.loading.file_states import DataFiles, digest_of


def data_files(steps: Mapping[str, BaseStep]) -> dict[str, DataFiles]:
    """The current files: of a loader under its step, `load`; of a path field under step and parameter, `ask.template`.

    Missing files, folders, and files of other hosts are omitted if a parameter names them.

    Raises:
        UsageError: a loader finds no file, or a file cannot be read.
    """
    found: dict[str, DataFiles] = {}
    for name, step in steps.items():
        if isinstance(step, StandIn | Undescribed):
            continue
        known: set[str] = set()
        if isinstance(step, FileLoader):
            found[name] = step.file_states()
            known = {state.path for state in found[name].files}
        for field in type(step).path_fields:
            paths = [path for path in named_files(getattr(step, field, None)) if str(path) not in known]
            if paths:
                found[f"{name}.{field}"] = _look_at(name, field, paths)
    return found


def check_data_files(step: BaseStep, known: Mapping[str, DataFiles]) -> None:
    """Compares the files in a step's path fields with those that the run began with.

    Args:
        known: what `data_files` returned then, including files of other steps. Missing files are skipped: the step
            itself reports what it lacks.

    Raises:
        FileChanged: one of them has changed; see `FileState.change`.
    """
    for name, now in data_files({step.name: step}).items() if not isinstance(step, FileLoader) else ():
        before = known.get(name)
        if before is None or len(before.files) != len(now.files):
            continue
        for old, new in zip(before.files, now.files, strict=True):
            source = _local(Path(new.path))
            if difference := old.change(new, partial(digest_of, source), here=before.is_here):
                raise FileChanged(new.path, difference)


def named_files(value: object) -> Iterator[Path]:
    """The files of this host that a parameter names: a path, or a list of paths."""
    for item in value if isinstance(value, list | tuple) else [value]:
        try:
            if isinstance(item, str | Path) and str(item) and Path(item).is_file():
                yield Path(item)
        except (OSError, ValueError):  # too long for a path, or containing a zero byte
            continue


def whole_digest(steps: Mapping[str, BaseStep], path: str) -> str:
    """Digest of all bytes of one data file of these steps.

    Raises:
        UsageError: it cannot be read.
    """
    loaders = (step for step in steps.values() if isinstance(step, FileLoader))
    for loader in loaders:
        if any(state.path == path for state in loader.file_states().files):
            return loader.digest_of(path)
    return digest_of(_local(Path(path)))


def _look_at(step: str, field: str, paths: list[Path]) -> DataFiles:
    try:
        return DataFiles.of(map(_local, paths))
    except UsageError as error:
        raise UsageError(f"step '{step}': the file in '{field}': {error}") from None


def _local(path: Path) -> FileSource:
    from fsspec.implementations.local import LocalFileSystem

    return FileSource(LocalFileSystem(), str(path))
