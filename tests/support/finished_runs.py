"""Run directories as finished runs leave them, made without a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.settings import Settings
from coordinator.dataset.card import CardFacts
from coordinator.dataset.dataset import build_dataset
from coordinator.dataset.parts import LeafWriter, Part

FACTS = CardFacts(
    name="quotes",
    description="Quotes, answered.",
    run_id="quotes-1a2b",
    signature="5f6e",
    spec="name: quotes\nsteps: {}\n",
    command="pipeline-coordinator run pipeline.yaml",
    versions={"penstock": "0.1.0"},
    failed={"ask": 2},
    citations=("@misc{ask, title={Asking}}",),
)


def write_parts(folder: Path, leaf: str, *parts: Sequence[dict[str, Any]]) -> list[Part]:
    """Parts as the sink writes them, one for each list of rows."""
    writer = LeafWriter(folder, leaf, "e1", None, Settings())
    written = []
    for seq, rows in enumerate(parts):
        writer.add(seq, rows, 1, 0.0)
        written.append(writer.flush())
    return written


def finished_run(home: Path, **leaves: Sequence[dict[str, Any]]) -> Path:
    """Makes a run directory with these rows by leaf, a log and an artifact; returns the folder of the dataset."""
    parts = {leaf: write_parts(home / "parts", leaf, rows) if rows else [] for leaf, rows in leaves.items()}
    build_dataset(home / "parts", parts, home / "dataset", FACTS, {leaf: ["text"] for leaf in leaves})
    (home / "run.json").write_text("{}")
    (home / "pipeline.log").write_text("the run is complete\n")
    (home / "dataset" / "artifacts" / "ask" / "index").mkdir(parents=True)
    (home / "dataset" / "artifacts" / "ask" / "index" / "words.txt").write_text("to be")
    return home / "dataset"
