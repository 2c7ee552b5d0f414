"""The no-op chain: the engine beside the bare loop, in alternating runs on the same machine in the same minutes.

    python benchmarks/throughput.py [--rows 200000] [--runs 5]

Both move the same rows through generator, two steps and leaf, AOF everysec, and write the same Parquet parts. The rate
counts from the first leaf batch to the last part on disk. Prints every run, the medians, and their ratio.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import bare_loop
import click
from engine import HERE, run_spec


def engine_rate(rows: int) -> tuple[float, float]:
    """(rows/s, seconds from the command to the first leaf batch)."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        folder = Path(name)
        stamp = folder / "stamp.txt"
        run = run_spec(HERE / "noop_chain.yaml", folder, [f"make.rows={rows}", f"leaf.stamp={stamp}"])
        first = float(stamp.read_text())
        return rows / (run.ended - first), first - run.started


def bare_rate(rows: int) -> float:
    """Rows/s of the bare loop with its writer."""
    with tempfile.TemporaryDirectory(prefix="penstock-bare-") as name, bare_loop.own_broker(Path(name)) as url:
        parts = Path(name) / "parts"
        parts.mkdir()
        return bare_loop.run(url, rows, parts)


@click.command()
@click.option("--rows", default=200_000, show_default=True)
@click.option("--runs", default=5, show_default=True)
def main(rows: int, runs: int) -> None:
    """Prints a line per run, then the medians."""
    engine: list[float] = []
    bare: list[float] = []
    starts: list[float] = []
    for number in range(runs):
        rate, start = engine_rate(rows)
        engine.append(rate)
        starts.append(start)
        bare.append(bare_rate(rows))
        click.echo(
            f"run {number + 1}: engine {rate:,.0f} rows/s, bare loop {bare[-1]:,.0f} rows/s; "
            f"first leaf batch after {start:.2f} s"
        )
    ratio = statistics.median(engine) / statistics.median(bare)
    click.echo(
        f"median of {runs}: engine {statistics.median(engine):,.0f} rows/s, bare loop {statistics.median(bare):,.0f} "
        f"rows/s, ratio {ratio:.2f}; first leaf batch after {statistics.median(starts):.2f} s"
    )
    sys.exit(0 if ratio >= 0.5 else 1)


if __name__ == "__main__":
    main()
