"""The partial results of a stopped or failed run: `partial/` in its run directory, never mistakable for a dataset."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from common.payloads.durable import sync_folder
from coordinator.dataset.dataset import link_or_copy
from coordinator.dataset.parts import Part
from coordinator.runs.discard import discard

PARTIAL: Final = "partial"
NEW: Final = f".{PARTIAL}.new"
INCOMPLETE: Final = "INCOMPLETE.json"


def write_partial(
    run_directory: Path, folder: Path, parts: Mapping[str, Sequence[Part]], why: str, command: str
) -> Path:
    """Rebuilds `partial/` and returns it: `<leaf>/part-00000.parquet`, ... in row order, and INCOMPLETE.json.

    Args:
        folder: where the parts are; `partial/` shares their bytes.
        parts: leaf -> its journaled parts so far. Each has the schema that the leaf had at the time.
        why: what ended the run.
        command: resumes the run.
    """
    remove_partial(run_directory)
    target = run_directory / PARTIAL
    fresh = run_directory / NEW
    fresh.mkdir(parents=True)
    rows = {leaf: sum(part.rows for part in of_leaf) for leaf, of_leaf in parts.items()}
    facts = {"complete": False, "why": why, "go_on": command, "rows": rows}
    (fresh / INCOMPLETE).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for leaf, of_leaf in parts.items():
        (fresh / leaf).mkdir()
        for number, part in enumerate(sorted(of_leaf, key=lambda part: part.first_seq)):
            link_or_copy(folder / part.name, fresh / leaf / f"part-{number:05d}.parquet")
    fresh.rename(target)
    sync_folder(run_directory)
    return target


def remove_partial(run_directory: Path) -> None:
    """Removes it, once the run is complete or before it is rewritten."""
    with suppress(OSError):
        discard(run_directory / PARTIAL)
    shutil.rmtree(run_directory / NEW, ignore_errors=True)  # left by a process that died while writing it
