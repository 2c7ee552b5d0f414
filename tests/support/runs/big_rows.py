"""Runs with large rows, whose payloads are in a folder or in a bucket."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.payloads.names import parse_name
from tests.support.places import STEPS_FOLDER
from tests.support.runs.harness import Command, Harness
from tests.support.servers.redis_server import RedisServer
from tests.support.servers.s3_server import BUCKET, S3Server

ROWS = 200
SPEC = """
name: big
steps:
  blobs: {{type: "big_steps:Blobs", rows: 200, size: 40000, batch_size: 10}}
  double: {{type: "mysteps:Gated", after: blobs, input_batch_size: 10, seconds: 0.02, gate: "{gate}", at: 100}}
  keep: {{type: KeepColumns, after: double, columns: [n, double, blob]}}
"""
"""8 MB in batches of 400 KB; a worker of `double` waits before row 100 for as long as a file is there."""
ALLOWED = ("--allow", "mysteps", "--allow", "big_steps", "--base-dir", ".")
SMALL_BROKER = 4 << 20
"""Bytes of memory of a broker that none of these rows are in."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where payloads go.

    Args:
        url: for `--payloads`.
        paths: of every file there, below the URL.
        put: writes a file, by its path below the URL.
        environment: variables that every process needs.
    """

    url: str
    paths: Callable[[], list[str]]
    put: Callable[[str, bytes], object]
    environment: dict[str, str]

    def seqs(self, step: str) -> set[int]:
        """Batches of a step that have a payload there."""
        names = (parse_name(path.rpartition("/")[2]) for path in self.paths())
        return {name.seq for name in names if name is not None and name.step == step}


def folder_store(folder: Path) -> Store:
    """A folder that all hosts mount."""
    folder.mkdir()

    def paths() -> list[str]:
        return [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]

    return Store(str(folder), paths, lambda path, data: (folder / path).write_bytes(data), {})


def bucket_store(server: S3Server) -> Store:
    """A bucket."""
    return Store(
        f"s3://{BUCKET}/of/penstock",
        server.keys,
        lambda path, data: server.overwrite(f"of/penstock/{path}", data),
        server.environment,
    )


def write_spec(harness: Harness, text: str = SPEC) -> Path:
    """The spec, its modules, and the way to its gate."""
    (harness.folder / "big_steps.py").write_text((STEPS_FOLDER / "big_steps.py").read_text())
    return harness.write_spec(text.format(gate=harness.folder / "gate"))


def start_workers(harness: Harness, url: str, *steps: str, **settings: str) -> list[Command]:
    """One external worker per name."""
    return [harness.start("pipeline-worker", "--step", step, "--broker", url, *ALLOWED, **settings) for step in steps]


def check_leaves(workers: Sequence[Command]) -> None:
    """The run has ended, and they with it."""
    assert [worker.wait(60) for worker in workers] == [0] * len(workers), [worker.text for worker in workers]


def peak_memory(server: RedisServer) -> int:
    """Bytes that a broker has used at most."""
    import redis

    with redis.Redis.from_url(server.url) as client:
        return int(client.info("memory")["used_memory_peak"])
