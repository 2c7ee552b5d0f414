"""Calls of a model: TextGeneration with OpenAILLM beside bare clients, in alternating runs against a local server.

    python benchmarks/llm_rows.py [--rows 20000] [--latency 0.02] [--slow 1|20] [--concurrency 200] [--workers 1]
        [--peer distilabel=PYTHON] [--peer-rows 2000]

The rate is the server's: rows divided by the time from the first request to the last answer. The CPU is that of the
whole command with its processes, per row; the server's own CPU, on the same cores, is printed beside it. The openai
client is measured where it is installed. Prints every run, the medians, and ratios to the bare loop and to peers.

The openai client and the peers, each of them in its own environment, are given fewer rows, as they are slower. Their
start-up counts for more then; so each client first runs with a single row, and "without start" is without its CPU.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from functools import partial
from pathlib import Path

import click
import psutil
from engine import HERE, run_spec

LEAST_RATIO = 0.5
MOST_CPU = 0.55
"""Milliseconds per row."""
PATIENCE = 300
"""Seconds for one run of a peer."""
LEAVE = 30
"""Seconds for the processes of a command to end after it."""
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
        raise ValueError(f"the server saw {told['requests']} requests, not {load.rows}")
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


def peer(script: Path, python: str, load: Load) -> None:
    """A script of `peers` in a new folder, which is its home, too, so that it finds no cache."""
    command = [python, str(script), load.url, str(load.rows), str(load.concurrency)]
    with tempfile.TemporaryDirectory(prefix="penstock-peer-") as folder:
        # Some scripts have the name of the package that they import; the safe path leaves their folder out.
        environment = {**os.environ, "HOME": folder, "PYTHONSAFEPATH": "1"}
        output = Path(folder) / "output.txt"
        with output.open("w") as log:
            try:
                code = subprocess.run(
                    command, cwd=folder, env=environment, stdout=log, stderr=log, timeout=PATIENCE
                ).returncode
            except subprocess.TimeoutExpired:
                code = None
        if code != 0:
            how = f"did not end within {PATIENCE} s" if code is None else f"ended with {code}"
            raise SystemExit(f"{' '.join(command)} {how}:\n{output.read_text()[-3000:]}")


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, how one run of it is played, and what it is asked for."""

    name: str
    play: Callable[[Load], None]
    load: Load


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run, or the medians of several.

    Args:
        rate: rows/s.
        cpu: milliseconds of CPU per row.
        running: the same without the CPU of a run with a single row.
        served: milliseconds of the server's CPU per row.
    """

    rate: float
    cpu: float
    running: float
    served: float

    def __str__(self) -> str:
        return (
            f"{self.rate:,.0f} rows/s, {self.cpu:.2f} ms of CPU per row"
            f" ({self.running:.2f} without start; server {self.served:.2f})"
        )


def measured(client: Client, server: int, start: float = 0.0) -> Figures:
    """One run of a client whose run with a single row takes `start` seconds of CPU."""
    before, serving = _cpu(), _cpu_of(server)
    client.play(client.load)
    _wait_for_the_rest(server)
    used, served = _cpu() - before, _cpu_of(server) - serving
    each = 1000 / client.load.rows
    return Figures(_rate_of(client), used * each, (used - start) * each, served * each)


def medians(clients: Sequence[Client], runs: int, server: int) -> dict[str, Figures]:
    """The clients by turns; prints every run."""
    starts = {}
    for client in clients:
        starts[client.name] = measured(replace(client, load=replace(client.load, rows=1)), server).cpu / 1000
        click.echo(f"{client.name}: {client.load.rows:,} rows per run; start: {starts[client.name]:.2f} s of CPU")
    found: dict[str, list[Figures]] = {client.name: [] for client in clients}
    for number in range(runs):
        for client in clients:
            figures = measured(client, server, starts[client.name])
            found[client.name].append(figures)
            click.echo(f"run {number + 1}, {client.name}: {figures}")
    return {name: Figures(*map(statistics.median, zip(*map(astuple, of), strict=True))) for name, of in found.items()}


def _rate_of(client: Client) -> float:
    try:
        return rate_at(client.load)
    except ValueError as error:
        raise SystemExit(f"{client.name}: {error}") from None


@contextmanager
def orphans_adopted() -> Iterator[None]:
    """This process is the parent of all that its commands leave behind, as only a parent is told their CPU."""
    set_child_subreaper = 36
    if ctypes.CDLL(None, use_errno=True).prctl(set_child_subreaper, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the orphans of a command cannot be adopted")
    try:
        yield
    finally:
        for left in psutil.Process().children(recursive=True):
            left.kill()


def _wait_for_the_rest(server: int) -> None:
    while left := [child for child in psutil.Process().children() if child.pid != server]:
        for child in psutil.wait_procs(left, LEAVE)[1]:
            raise SystemExit(f"'{' '.join(child.cmdline())}' still runs {LEAVE} s after the command that started it")


def _cpu() -> float:
    """Seconds of this process's children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peers(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, tuple[Path, str]]:
    """Scripts and interpreters by the peers' names with their versions."""
    found = {}
    known = {script.stem: script for script in sorted((HERE / "peers").glob("*.py"))}
    for text in given:
        name, _, python = text.partition("=")
        if name not in known:
            raise click.BadParameter(f"'{name}' is none of {', '.join(known)}")
        path = shutil.which(python)
        if path is None:
            raise click.BadParameter(f"'{python}' is no interpreter; write {name}=PYTHON")
        asked = [path, "-c", f"import importlib.metadata; print(importlib.metadata.version('{name}'))"]
        version = subprocess.run(asked, capture_output=True, text=True)
        if version.returncode:
            raise click.BadParameter(f"'{python}' has no package {name}:\n{version.stderr}")
        found[f"{name} {version.stdout.strip()}"] = (known[name], os.path.abspath(path))
    return found


@click.command()
@click.option("--rows", default=20_000, show_default=True)
@click.option("--latency", default=0.02, show_default=True, help="Seconds.")
@click.option("--slow", default=1.0, show_default=True, help="How many times slower one row in 20 is.")
@click.option("--concurrency", default=200, show_default=True)
@click.option("--workers", default=1, show_default=True, help="Of the engine, which share the concurrency.")
@click.option("--runs", default=5, show_default=True)
@click.option("--openai/--no-openai", "with_openai", default=True, show_default=True, help="If it is installed.")
@click.option("--peer", "others", multiple=True, callback=peers, metavar="NAME=PYTHON", help="A script of peers/.")
@click.option("--peer-rows", default=2_000, show_default=True, help="Of a run of a peer or openai.")
def main(
    rows: int,
    latency: float,
    slow: float,
    concurrency: int,
    workers: int,
    runs: int,
    with_openai: bool,
    others: dict[str, tuple[Path, str]],
    peer_rows: int,
) -> None:
    """Prints a line per run, then the medians."""
    with orphans_adopted(), row_server(latency, slow) as (port, server):
        load = Load(rows, concurrency, port, workers)
        fewer = replace(load, rows=min(rows, peer_rows))
        clients = [Client("engine", engine, load), Client("bare aiohttp", partial(in_a_process, "aiohttp"), load)]
        if with_openai and importlib.util.find_spec("openai"):
            clients.append(Client("bare openai", partial(in_a_process, "openai"), fewer))
        clients += [Client(name, partial(peer, *how), fewer) for name, how in others.items()]
        middle = medians(clients, runs, server)
    ours = middle.pop("engine")
    click.echo(f"median of {runs}, engine: {ours}")
    for name, of in middle.items():
        click.echo(f"median of {runs}, {name}: {of}")
    for name, of in middle.items():
        click.echo(
            f"engine / {name}: {ours.rate / of.rate:.2f} of the rate, {ours.cpu / of.cpu:.3f} of the CPU per row"
            f" ({ours.running / of.running:.3f} without start)"
        )
    ratio = ours.rate / middle["bare aiohttp"].rate
    sys.exit(0 if ratio >= LEAST_RATIO and ours.cpu <= MOST_CPU else 1)


if __name__ == "__main__":
    main()
