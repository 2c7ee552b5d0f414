"""Checks parts after a takeover: only journaled parts belong to the run, and all of them must be there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from common.errors import RunError
from common.payloads.durable import DRAFT_SUFFIX
from coordinator.dataset.parts import Part, file_digest


def check_parts(folder: Path, journaled: Iterable[Part]) -> None:
    """Deletes the parts without a journal entry: a coordinator died between writing and journaling them.

    Call this only while holding the run's epoch: parts of an older coordinator can then no longer be journaled. Raises
    RunError, before anything is deleted, and names the first journaled part that is missing or has another size.
    """
    names = check_parts_are_there(folder, journaled)
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name not in names and path.name.endswith((".parquet", DRAFT_SUFFIX)):
                path.unlink(missing_ok=True)


def check_parts_are_there(folder: Path, journaled: Iterable[Part]) -> set[str]:
    """Returns the names of the parts. Raises RunError and names the first one that is missing or has another size."""
    names = set()
    for part in journaled:
        names.add(part.name)
        try:
            size = (folder / part.name).stat().st_size
        except FileNotFoundError:
            raise _gone(folder, part, "it is not there") from None
        if size != part.size:
            raise _gone(folder, part, f"it has {size} bytes instead of {part.size}")
    return names


def check_digest(folder: Path, part: Part) -> None:
    """Reads the whole part. Raises RunError if it is not what was journaled."""
    try:
        with (folder / part.name).open("rb") as file:
            digest = file_digest(file)
    except FileNotFoundError:
        raise _gone(folder, part, "it is not there") from None
    if digest != part.digest:
        raise _gone(folder, part, "its content is not what was written")


def _gone(folder: Path, part: Part, why: str) -> RunError:
    return RunError(
        f"part {part.name} of leaf '{part.leaf}' (batches {part.first_seq} to {part.last_seq}) is in the journal, but "
        f"in {folder} {why}: the run directory is not shared with the host that wrote it, or it was changed; use the "
        "run directory of that host, or start over with --fresh"
    )
