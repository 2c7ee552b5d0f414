"""The yardstick of the engine: a bare loop of redis-py, one process that moves the no-op chain by reference.

generate -> step_1 -> step_2 -> leaf, batches of 50 rows of about 500 bytes, payloads under keys, references in
streams. It has no leases, retries, routing, limits or resume: it makes the moves that a batch and hop cannot do
without, in pipelines of 16 batches per hop.

- XREADGROUP from the hop's stream, GET of the payload, msgpack to rows, nothing, rows to msgpack (the generator's
  stream brings tickets, and it makes its rows);
- one script call: XACK, XDEL, SET of the output, XADD of its reference to the stream `out`;
- XREAD of `out`, XADD to the next hop's stream, UNLINK of what was consumed;
- behind the leaf: GET, msgpack to rows, and 2,000 rows to a Parquet part (zstd, fsync).

    python benchmarks/bare_loop.py --rows 200000 [--no-writer] [--broker URL]
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgpack
import redis

Row = dict[str, Any]
Input = tuple[str, bytes, int]
"""Hop, entry id, seq."""
Result = tuple[str, int, int]
"""Hop, seq, rows."""

HOPS = ("generate", "step_1", "step_2", "leaf")
BEFORE = {"step_1": "generate", "step_2": "step_1", "leaf": "step_2"}
AFTER = {"generate": "step_1", "step_1": "step_2", "step_2": "leaf"}
GROUP, CONSUMER = "workers", "bare"
BATCH_ROWS = 50
BATCHES_PER_PIPELINE = 16
PART_ROWS = 2_000

COMMIT = """
-- KEYS: the hop's stream, the output's payload, out. ARGV: group, entry id, rows, message.
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
redis.call('XADD', KEYS[3], '*', 'm', ARGV[4])
return 1
"""

packb, unpackb = msgpack.packb, msgpack.unpackb

INSTRUCTION = (
    "Explain in two sentences why water that falls from a height can turn a wheel and what a penstock is for. "
)
GENERATION = (
    "A penstock is the pipe that leads water from a reservoir down to a turbine; it keeps the pressure that the"
    " height gives, so that none of it is spent before the wheel. At its lower end the water turns the wheel because"
    " it is made to change its direction, and what it loses in speed the wheel gains in work. The gates at both ends"
    " are shut slowly."
)


def make_rows(first: int, count: int) -> list[Row]:
    """Rows number `first` and following: an id, an instruction of 117 characters, a generation of 358."""
    return [
        {"id": number, "instruction": f"{INSTRUCTION}{number:012d}", "generation": f"{number:012d} {GENERATION}"}
        for number in range(first, first + count)
    ]


class PartWriter:
    """Writes rows to Parquet parts of 2,000 rows, each of them and the folder synced to disk."""

    def __init__(self, folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._table = pa.Table.from_pylist
        self._write = pq.write_table
        self._folder = folder
        self._rows: list[Row] = []
        self._parts = 0

    def write(self, rows: list[Row]) -> None:
        self._rows += rows
        while len(self._rows) >= PART_ROWS:
            self._flush(PART_ROWS)

    def close(self) -> None:
        if self._rows:
            self._flush(len(self._rows))

    def _flush(self, count: int) -> None:
        rows, self._rows = self._rows[:count], self._rows[count:]
        path = self._folder / f"part-{self._parts:05}.parquet"
        self._write(self._table(rows), path, compression="zstd")
        for target in (path, self._folder):
            descriptor = os.open(target, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        self._parts += 1


class Loop:
    """A round is two pipelines: all commands that the last round led to with the next reads, then the payloads."""

    def __init__(self, client: redis.Redis, rows: int, writer: PartWriter | None) -> None:
        self._client = client
        self._rows = rows
        self._writer = writer
        self._prefix = f"bare:{secrets.token_hex(4)}:"
        self._out = f"{self._prefix}out"
        self._streams = {hop: f"{self._prefix}in:{hop}" for hop in HOPS}
        self._commit = client.script_load(COMMIT)
        self._pipe = client.pipeline(transaction=False)
        self._last_entry: str | bytes = "0"
        self._asked = 0

    def run(self) -> float:
        """Rows per second between the first and the last batch that arrives behind the leaf."""
        for stream in self._streams.values():
            self._client.xgroup_create(stream, GROUP, id="0", mkstream=True)
        arrived = first_rows = 0
        began = 0.0
        while arrived < self._rows:
            self._ask()
            inputs, results = self._exchange()
            payloads = self._payloads(inputs, results)
            for hop, entry, seq in inputs:
                self._process(hop, entry, seq, payloads)
            for hop, seq, count in results:
                self._route(hop, seq, payloads)
                arrived += count if hop == "leaf" else 0
            if arrived and not began:
                began, first_rows = time.perf_counter(), arrived
        if self._writer:
            self._writer.close()
        ended = time.perf_counter()
        self._pipe.unlink(self._out, *self._streams.values())
        self._pipe.execute()
        return (arrived - first_rows) / (ended - began)

    def _ask(self) -> None:
        """Gives the generator its next tickets."""
        for _ in range(min(BATCHES_PER_PIPELINE, math.ceil(self._rows / BATCH_ROWS) - self._asked)):
            self._pipe.xadd(self._streams["generate"], {"m": packb(self._asked)})
            self._asked += 1

    def _exchange(self) -> tuple[list[Input], list[Result]]:
        """Sends what is pending and reads what is there: entries of the hops' streams, results in `out`."""
        for stream in self._streams.values():
            self._pipe.xreadgroup(GROUP, CONSUMER, {stream: ">"}, count=BATCHES_PER_PIPELINE)
        self._pipe.xread({self._out: self._last_entry}, count=BATCHES_PER_PIPELINE * len(HOPS))
        *taken, news = self._pipe.execute()[-len(HOPS) - 1 :]
        if news:
            self._last_entry = news[0][1][-1][0]
        inputs = [
            (hop, entry, unpackb(fields[b"m"]))
            for hop, read in zip(HOPS, taken, strict=True)
            for _, entries in read
            for entry, fields in entries
        ]
        return inputs, [tuple(unpackb(fields[b"m"])) for _, entries in news for _, fields in entries]

    def _payloads(self, inputs: list[Input], results: list[Result]) -> dict[str, bytes]:
        """The rows that the inputs refer to and, if they are to be written, those behind the leaf."""
        keys = [self._key(BEFORE[hop], seq) for hop, _, seq in inputs if hop in BEFORE]
        if self._writer:
            keys += [self._key(hop, seq) for hop, seq, _ in results if hop == "leaf"]
        found: list[Any] = list(self._client.mget(keys)) if keys else []
        return dict(zip(keys, found, strict=True))

    def _process(self, hop: str, entry: bytes, seq: int, payloads: dict[str, bytes]) -> None:
        if hop in BEFORE:
            rows = no_op(unpackb(payloads[self._key(BEFORE[hop], seq)]))
        else:
            rows = make_rows(seq * BATCH_ROWS, min(BATCH_ROWS, self._rows - seq * BATCH_ROWS))
        self._pipe.evalsha(
            self._commit,
            3,
            *(self._streams[hop], self._key(hop, seq), self._out),
            *(GROUP, entry, packb(rows), packb((hop, seq, len(rows)))),
        )

    def _route(self, hop: str, seq: int, payloads: dict[str, bytes]) -> None:
        """Sends a result to the next hop, or behind the leaf to disk, and frees what the hop has consumed."""
        key = self._key(hop, seq)
        if hop in BEFORE:
            self._pipe.unlink(self._key(BEFORE[hop], seq))
        if hop != "leaf":
            self._pipe.xadd(self._streams[AFTER[hop]], {"m": packb(seq)})
            return
        if self._writer:
            self._writer.write(unpackb(payloads[key]))
        self._pipe.unlink(key)

    def _key(self, hop: str, seq: int) -> str:
        return f"{self._prefix}payload:{hop}:{seq}"


def no_op(rows: list[Row]) -> list[Row]:
    return rows


def run(url: str, rows: int, folder: Path | None) -> float:
    """Rows per second between the first and the last batch behind the leaf; with no `folder` they are not written."""
    with redis.Redis.from_url(url) as client:
        return Loop(client, rows, PartWriter(folder) if folder else None).run()


@contextlib.contextmanager
def own_broker(folder: Path) -> Iterator[str]:
    """A Redis with an AOF synced every second on a unix socket in `folder`: yields its URL."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    binary = shutil.which("redis-server", path=path)
    if binary is None:
        raise click.ClickException("no redis-server beside this Python or in PATH; install one or give --broker URL")
    options = ["--port", "0", "--unixsocket", str(folder / "redis.sock"), "--dir", str(folder), "--save", ""]
    options += ["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen([binary, *options], stdout=log, stderr=log)
    try:
        url = f"unix://{folder / 'redis.sock'}"
        with redis.Redis.from_url(url) as client:
            deadline = time.monotonic() + 30
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError as error:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise click.ClickException((folder / "redis.log").read_text()) from error
                    time.sleep(0.01)
        yield url
    finally:
        process.terminate()
        process.wait()


@click.command(help="Rows per second of a bare redis-py loop over the no-op chain, the yardstick of the engine.")
@click.option("--rows", default=200_000, show_default=True, type=click.IntRange(min=1_000))
@click.option("--broker", help="URL of a Redis; by default one is started, with an AOF, for this command alone.")
@click.option("--writer/--no-writer", default=True, show_default=True, help="Write the rows to Parquet.")
def main(rows: int, broker: str | None, writer: bool) -> None:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bare-loop-")))
        url = broker or stack.enter_context(own_broker(folder))
        speed = run(url, rows, folder if writer else None)
    click.echo(f"{speed:,.0f} rows/s, {rows:,} rows, {'with' if writer else 'without'} the Parquet writer")


if __name__ == "__main__":
    main()
