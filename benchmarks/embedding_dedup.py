"""Seconds of EmbeddingDedup for rows with vectors, beside the bare products of their matrix.

    python benchmarks/embedding_dedup.py [--rows 20000] [--numbers 384] [--runs 3]

A tenth of the rows are near-duplicates of others. The yardstick multiplies each block of vectors with all before it,
and looks for products above the threshold; it reads no rows and marks none. Both alternate; medians are printed, and
the memory that the step takes beside its rows. Ends with 1 if the step takes more than three times as long.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.steps import EmbeddingDedup

BOUND = 3.0
LINES = 1_000
THRESHOLD = 0.9


def vectors_of(count: int, numbers: int) -> np.ndarray[Any, Any]:
    chance = np.random.default_rng(0)
    vectors = chance.normal(size=(count, numbers))
    near = count // 10
    originals = chance.integers(0, count - near, size=near)
    vectors[count - near :] = vectors[originals] + 0.05 * chance.normal(size=(near, numbers))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def products(vectors: np.ndarray[Any, Any]) -> int:
    found = 0
    for start in range(0, len(vectors), LINES):
        block = vectors[start : start + LINES]
        for first in range(0, start + LINES, LINES):
            found += int((block @ vectors[first : first + LINES].T >= THRESHOLD).any(axis=1).sum())
    return found


def peak() -> float:
    """MiB of memory at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@click.command(help="Seconds of EmbeddingDedup, beside the bare products of the vectors.")
@click.option("--rows", "count", default=20_000, show_default=True, type=click.IntRange(min=1_000))
@click.option("--numbers", default=384, show_default=True, type=click.IntRange(min=1))
@click.option("--runs", default=3, show_default=True, type=click.IntRange(min=1))
def main(count: int, numbers: int, runs: int) -> None:
    vectors = vectors_of(count, numbers)
    rows = [{"embedding": vector.tolist()} for vector in vectors]
    before, beside, took = peak(), 0.0, []
    for _ in range(runs):
        began = time.perf_counter()
        [made] = EmbeddingDedup(threshold=THRESHOLD).process(rows)
        step = time.perf_counter() - began
        beside = beside or peak() - before
        began = time.perf_counter()
        products(vectors)
        took.append((step, time.perf_counter() - began))
    ours, theirs = (statistics.median(each) for each in zip(*took, strict=True))
    marked = sum(not row["keep_row_after_embedding_filtering"] for row in made)
    click.echo(
        f"{count:,} rows of {numbers} numbers, {marked:,} marked: {ours:.1f} s, {beside:,.0f} MiB beside the "
        f"rows   bare products {theirs:.1f} s   ratio {ours / theirs:.2f}"
    )
    sys.exit(1 if ours > BOUND * theirs else 0)


if __name__ == "__main__":
    main()
