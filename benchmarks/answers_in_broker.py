"""What answers kept in a broker cost a call: time until all rows of a worker have theirs, and the broker's memory.

    python benchmarks/answers_in_broker.py [--calls N] [--at-once N] [--prompt BYTES] [--reply BYTES] [--runs 3]

Prints the microseconds per call, median of the runs, of rows of which so many ask at once: for calls that find nothing
and keep the new answer, for calls that find an answer of another run and claim it, and for calls that find their own;
and the milliseconds that a single row waits for a look-up. Nothing is sent to a model. Ends with 1 above the bounds.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click
from answers import Calls

from common.broker.connection import Connection
from common.errors import BrokerError
from common.llms.answers.broker_store import BrokerAnswerStore
from coordinator.local.server_binary import find_server

BUDGET = 1 << 40
BOUNDS = {"miss and keep": 500.0, "hit of another run": 500.0, "own hit": 500.0}
"""Microseconds."""


@contextmanager
def broker() -> Iterator[Connection]:
    """A server of its own, which writes nothing to disk."""
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/redis.sock"
        options = ("--port", "0", "--unixsocket", socket, "--save", "", "--maxmemory-policy", "noeviction")
        server = subprocess.Popen([find_server(), *options], stdout=subprocess.DEVNULL)
        connection = Connection(f"unix://{socket}")
        try:
            while server.poll() is None:
                with suppress(BrokerError):
                    connection.check()
                    break
            yield connection
        finally:
            connection.close()
            server.terminate()
            server.wait()


async def ask(store: BrokerAnswerStore, run: str, made: Calls, at_once: int, *, finds: bool) -> float:
    """Microseconds per call."""
    waiting = iter(range(len(made.requests)))

    async def row() -> None:
        for place in waiting:
            await made.ask(store, (run, ""), place, finds=finds)

    began = time.perf_counter()
    await asyncio.gather(*(row() for _ in range(at_once)))
    return (time.perf_counter() - began) / len(made.requests) * 1e6


@click.command()
@click.option("--calls", default=5_000, show_default=True)
@click.option("--at-once", default=50, show_default=True, help="Rows that ask at the same time.")
@click.option("--prompt", default=2_000, show_default=True, help="Bytes.")
@click.option("--reply", default=1_000, show_default=True, help="Bytes.")
@click.option("--runs", default=3, show_default=True)
def main(calls: int, at_once: int, prompt: int, reply: int, runs: int) -> None:
    figures: dict[str, list[float]] = {name: [] for name in BOUNDS}
    alone, size = [], 0
    for _ in range(runs):
        with broker() as connection:
            before = connection.facts().used_memory
            made = Calls(calls, prompt, reply)
            for name, run, finds in zip(figures, ("one", "two", "two"), (False, True, True), strict=True):
                store = BrokerAnswerStore(connection.url, run, "", BUDGET, 86_400.0)
                figures[name].append(asyncio.run(ask(store, run, made, at_once, finds=finds)))
                store.close()
                size = size or (connection.facts().used_memory - before) // calls
            few = Calls(200, prompt, reply)
            few.requests, few.replies = made.requests[:200], made.replies[:200]
            store = BrokerAnswerStore(connection.url, "two", "", BUDGET, 86_400.0)
            alone.append(asyncio.run(ask(store, "two", few, 1, finds=True)) / 1000)
            store.close()
    for name, found in figures.items():
        print(f"{name}: {statistics.median(found):.0f} us per call ({', '.join(f'{one:.0f}' for one in found)})")
    print(f"one row alone waits {statistics.median(alone):.2f} ms for a look-up")
    print(f"{size:,} bytes of the broker's memory per answer")
    sys.exit(any(statistics.median(found) > BOUNDS[name] for name, found in figures.items()))


if __name__ == "__main__":
    main()
