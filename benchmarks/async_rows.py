"""Rows in flight: a step of the engine beside a bare asyncio loop with the same client, against a local HTTP server.

    python benchmarks/async_rows.py [--slow 1|20] [--rows N] [--runs 5]

The rate is the server's: rows divided by the time from the first request to the last answer. Alternating runs; prints
every run, the medians, and their ratio.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from async_steps import LightClient
from engine import HERE, run_spec

CONCURRENCY = 50
LATENCY = 0.05

SPEC = """
name: async-light
steps:
  rows: {{type: "async_steps:Rows", rows: {rows}}}
  ask: {{type: "async_steps:Ask", after: rows, port: {port}, concurrency: 50}}
"""


@contextmanager
def row_server(latency: float, slow: float) -> Iterator[int]:
    """A server process; returns its port."""
    command = [sys.executable, str(HERE / "row_server.py"), str(latency), str(slow)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def server_rate(port: int, rows: int) -> float:
    """Rows/s since the last call."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/times") as answer:
        told = json.load(answer)
    if told["requests"] != rows:
        raise SystemExit(f"the server saw {told['requests']} requests, not {rows}")
    return float(rows / told["seconds"])


async def bare_loop(ask: Callable[[str], Awaitable[object]], rows: int) -> None:
    """`CONCURRENCY` lanes that share one iterator of rows."""
    numbers = iter(range(rows))

    async def lane() -> None:
        for number in numbers:
            await ask(f"Say something about row {number}")

    await asyncio.gather(*(lane() for _ in range(CONCURRENCY)))


async def bare_light(port: int, rows: int) -> None:
    """The light client."""
    client = LightClient(port)
    await bare_loop(client.post, rows)
    client.close()


def engine(port: int, rows: int) -> None:
    """The same rows through the engine."""
    with tempfile.TemporaryDirectory(prefix="penstock-async-") as name:
        spec = Path(name) / "spec.yaml"
        spec.write_text(SPEC.format(rows=rows, port=port))
        run_spec(spec, Path(name))


@click.command()
@click.option("--slow", default=1.0, show_default=True, help="How many times slower one row in 20 is.")
@click.option("--rows", default=10_000, show_default=True)
@click.option("--runs", default=5, show_default=True)
def main(slow: float, rows: int, runs: int) -> None:
    """Prints a line per run, then the medians."""
    rates: dict[str, list[float]] = {"engine": [], "bare": []}
    with row_server(LATENCY, slow) as port:
        for number in range(runs):
            engine(port, rows)
            rates["engine"].append(server_rate(port, rows))
            asyncio.run(bare_light(port, rows))
            rates["bare"].append(server_rate(port, rows))
            click.echo(
                f"run {number + 1}: engine {rates['engine'][-1]:.1f} rows/s, bare {rates['bare'][-1]:.1f} rows/s"
            )
    medians = {name: statistics.median(found) for name, found in rates.items()}
    ratio = medians["engine"] / medians["bare"]
    click.echo(
        f"median of {runs}, one row in 20 {slow:g} times slower: "
        f"engine {medians['engine']:.1f} rows/s, bare {medians['bare']:.1f} rows/s, ratio {ratio:.3f}"
    )
    sys.exit(0 if ratio >= (0.9 if slow == 1 else 0.85) else 1)


if __name__ == "__main__":
    main()
