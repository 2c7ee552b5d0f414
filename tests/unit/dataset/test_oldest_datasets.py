"""The oldest release of `datasets` that is allowed reads what is on disk, whatever its cache holds.

The other tests have the newest one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from coordinator.dataset.dataset import build_dataset
from tests.support.finished_runs import FACTS, write_parts

OLDEST = Path(sys.prefix) / "oldest-datasets"
READ = """
import json, sys, datasets
assert datasets.__version__ == "3.0.0"
print(json.dumps([list(datasets.load_dataset(*place, split="train")) for place in json.loads(sys.argv[1])]))
"""


@pytest.fixture(scope="module", autouse=True)
def _is_here() -> None:
    if not OLDEST.is_dir():
        pytest.skip("the oldest datasets is not installed; `make test` brings it")


def build(home: Path, **leaves: Sequence[dict[str, Any]]) -> Path:
    parts = {leaf: write_parts(home / "parts", leaf, rows) for leaf, rows in leaves.items()}
    build_dataset(home / "parts", parts, home / "out", FACTS)
    return home / "out"


def read(cache: Path, *places: Sequence[Path | str]) -> list[list[dict[str, Any]]]:
    """Rows of folders, or of a config of theirs, as that release loads them."""
    environment = {**os.environ, "PYTHONPATH": str(OLDEST), "HF_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", READ, json.dumps([list(map(str, place)) for place in places])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows: list[list[dict[str, Any]]] = json.loads(done.stdout)
    return rows


def test_the_oldest_release_reads_what_is_on_disk_also_with_a_warm_cache(tmp_path: Path) -> None:
    one = build(tmp_path / "one", keep=[{"id": 1, "words": ["a"], "in": {"n": 1}}], other=[{"o": 1}])
    two = build(tmp_path / "two", keep=[{"id": 2, "words": [], "in": {"n": 2}}])
    assert read(tmp_path / "hf", [one], [one, "other"], [two]) == [
        [{"id": 1, "words": ["a"], "in": {"n": 1}}],
        [{"o": 1}],
        [{"id": 2, "words": [], "in": {"n": 2}}],
    ]
    build(tmp_path / "one", keep=[{"id": 3, "words": ["c"], "in": {"n": 3}}], other=[{"o": 3}])
    moved = tmp_path / "moved" / "out"
    moved.parent.mkdir()
    two.rename(moved)
    assert read(tmp_path / "hf", [one], [one, "other"], [moved]) == [
        [{"id": 3, "words": ["c"], "in": {"n": 3}}],
        [{"o": 3}],
        [{"id": 2, "words": [], "in": {"n": 2}}],
    ]
