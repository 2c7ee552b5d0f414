"""Calls of a model: TextGeneration with OpenAILLM beside bare clients, in alternating runs against a local server.

    python benchmarks/llm_rows.py [--rows 20000] [--latency 0.02] [--slow 1|20] [--concurrency 200] [--workers 1]

The rate is the server's: rows divided by the time from the first request to the last answer. The CPU is that of the
whole command with its processes, start-up included, per row; the server's own CPU, on the same cores, is printed beside
it. The openai client is measured where it is installed. Prints every run, the medians, and ratios to the bare loop.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from engine import HERE, run_spec

LEAST_RATIO = 0.5
MOST_CPU = 0.55
"""Milliseconds per row."""
SPEC = """
name: llm-rows
steps:
  rows: {{type: "async_steps:Rows", rows: {rows}}}
  ask:
    type: TextGeneration
    after: rows
    concurrency: {concurrency}
    resources: {{replicas: {workers}}}
    llm: {{type: OpenAILLM, model: bench, base_url: "http://127.0.0.1:{port}/v1"}}
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for: so many rows, so many in flight, of the server at a port; the engine's workers share them."""

    rows: int
    concurrency: int
    port: int
    workers: int = 1

    @property
    def url(self) -> str:
        """Where the bare clients ask."""
        return f"http://127.0.0.1:{self.port}/v1"


@contextmanager
def row_server(latency: float, slow: float) -> Iterator[tuple[int, int]]:
    """A server process: its port and its id."""
    command = [sys.executable, str(HERE / "row_server.py"), str(latency), str(slow)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.terminate()


def rate_at(load: Load) -> float:
    """Rows/s since the last call, as the server saw them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{load.port}/times") as answer:
        told = json.load(answer)
    if told["requests"] != load.rows:
        raise SystemExit(f"the server saw {told['requests']} requests, not {load.rows}")
    return float(load.rows / told["seconds"])


def engine(load: Load) -> None:
    """The rows through the engine, nothing of them known before."""
    with tempfile.TemporaryDirectory(prefix="penstock-llm-") as name:
        spec = Path(name) / "spec.yaml"
        each = load.concurrency // load.workers
        spec.write_text(SPEC.format(rows=load.rows, concurrency=each, workers=load.workers, port=load.port))
        run_spec(spec, Path(name))


async def lanes(ask: Callable[[str], Awaitable[object]], load: Load) -> None:
    """As many lanes as calls in flight, which share one iterator of rows."""
    numbers = iter(range(load.rows))

    async def lane() -> None:
        for number in numbers:
            await ask(f"Say something about row {number}")

    await asyncio.gather(*(lane() for _ in range(load.concurrency)))


async def bare_aiohttp(load: Load) -> None:
    """A loop that posts and reads JSON."""
    from aiohttp import ClientSession, TCPConnector

    async with ClientSession(connector=TCPConnector(limit=0)) as session:

        async def ask(prompt: str) -> object:
            request = {"model": "bench", "messages": [{"role": "user", "content": prompt}]}
            async with session.post(f"{load.url}/chat/completions", json=request) as reply:
                return await reply.json()

        await lanes(ask, load)


async def bare_openai(load: Load) -> None:
    """The openai client."""
    import openai

    async with openai.AsyncOpenAI(base_url=load.url, api_key="none") as client:

        async def ask(prompt: str) -> object:
            return await client.chat.completions.create(model="bench", messages=[{"role": "user", "content": prompt}])

        await lanes(ask, load)


def in_a_process(client: str, load: Load) -> None:
    """A bare client as a command of its own, so that its start is measured, too."""
    text = f"import asyncio, llm_rows; asyncio.run(llm_rows.bare_{client}(llm_rows.{load!r}))"
    subprocess.run([sys.executable, "-c", text], check=True, cwd=HERE)


def measured(play: Callable[[], None], load: Load, server: int) -> tuple[float, float, float]:
    """(rows/s, ms of CPU per row, ms of the server's CPU per row)."""
    before, serving = _cpu(), _cpu_of(server)
    play()
    used, served = _cpu() - before, _cpu_of(server) - serving
    return rate_at(load), used / load.rows * 1000, served / load.rows * 1000


def _cpu() -> float:
    """Seconds of this process's children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@click.command()
@click.option("--rows", default=20_000, show_default=True)
@click.option("--latency", default=0.02, show_default=True, help="Seconds.")
@click.option("--slow", default=1.0, show_default=True, help="How many times slower one row in 20 is.")
@click.option("--concurrency", default=200, show_default=True)
@click.option("--workers", default=1, show_default=True, help="Of the engine, which share the concurrency.")
@click.option("--runs", default=5, show_default=True)
@click.option("--openai/--no-openai", "with_openai", default=True, show_default=True, help="If it is installed.")
def main(rows: int, latency: float, slow: float, concurrency: int, workers: int, runs: int, with_openai: bool) -> None:
    """Prints a line per run, then the medians."""
    clients = ["aiohttp"]
    if with_openai and importlib.util.find_spec("openai"):
        clients.append("openai")
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ("engine", *clients)}
    with row_server(latency, slow) as (port, server):
        load = Load(rows, concurrency, port, workers)
        for number in range(runs):
            found["engine"].append(measured(lambda: engine(load), load, server))
            for client in clients:
                found[client].append(measured(lambda client=client: in_a_process(client, load), load, server))
            click.echo(f"run {number + 1}: " + "; ".join(f"{name} {_words(of[-1])}" for name, of in found.items()))
    middle = {name: tuple(map(statistics.median, zip(*of, strict=True))) for name, of in found.items()}
    for name, of in middle.items():
        click.echo(f"median of {runs}, {name}: {_words(of)}")
    ratio = middle["engine"][0] / middle["aiohttp"][0]
    click.echo(f"engine / bare aiohttp: {ratio:.2f} of the rate")
    sys.exit(0 if ratio >= LEAST_RATIO and middle["engine"][1] <= MOST_CPU else 1)


def _words(of: tuple[float, ...]) -> str:
    return f"{of[0]:,.0f} rows/s, {of[1]:.2f} ms of CPU per row (server {of[2]:.2f})"


if __name__ == "__main__":
    main()
