"""Large rows in a shared folder and in a bucket: the same dataset, a small broker, and nothing left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.payloads.names import make_name
from tests.support.runs.big_rows import (
    ROWS,
    SMALL_BROKER,
    Store,
    bucket_store,
    check_leaves,
    folder_store,
    peak_memory,
    start_workers,
    write_spec,
)
from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.sight import Sight
from tests.support.servers.redis_server import RedisServer
from tests.support.servers.s3_server import S3Server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "folder":
        return folder_store(tmp_path / "shared")
    store = bucket_store(request.getfixturevalue("s3"))
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    return store


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path, STORE_DELAY="0.5", PART_ROWS="50")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Identifies the rows, and their order, where all of them are in the broker."""
    for harness in harnesses(tmp_path_factory.mktemp("alone"), PAYLOAD_THRESHOLD=str(1 << 40)):
        code, said = harness.run(write_spec(harness))
        assert code == 0, said
        assert [row["n"] for row in harness.rows()] == list(range(ROWS))
        digest = harness.digest()
    return digest


def test_a_worker_and_the_coordinator_are_killed_and_nothing_is_lost_or_left(
    harness: Harness, server: RedisServer, store: Store, left_alone: str
) -> None:
    gate = harness.folder / "gate"
    gate.touch()
    spec = write_spec(harness)
    arguments = ("--broker", server.url, "--workers", "external", "--payloads", store.url)
    first = harness.start_run(spec, *arguments)
    blobs, *others = start_workers(harness, server.url, "blobs", "double", "double", "keep")
    waiting = gate.with_suffix(".waiting")
    wait_for(lambda: waiting.exists() and waiting.read_text().endswith("\n"), what="a worker at the gate")
    stuck = int(waiting.read_text().split()[0])
    first.kill()
    first.wait()
    os.kill(stuck, signal.SIGKILL)
    run_id = Sight(harness, server.url).run_id
    orphan = f"{run_id}/{make_name('blobs', 0, 0, b'of a worker that died before its commit')}"
    store.put(orphan, b"of a worker that died before its commit")
    second = harness.start_run(spec, *arguments)
    others = [one for one in others if one.process.pid != stuck] + start_workers(harness, server.url, "double")
    wait_for(lambda: not any(path.endswith(orphan) for path in store.paths()), 60, "the end of the orphan")
    wait_for(lambda: not store.seqs("blobs") & set(range(8)), 60, "the end of what was consumed")
    assert store.seqs("double") or store.seqs("keep"), "nothing is in the store that is still needed"
    gate.unlink()
    assert second.wait(100) == 0, second.text
    check_leaves([blobs, *others])
    assert harness.digest() == left_alone
    assert store.paths() == []
    assert harness.record().payloads == []
    assert peak_memory(server) < SMALL_BROKER


def test_steps_of_every_kind_take_their_rows_from_the_store_and_put_them_there(harness: Harness, store: Store) -> None:
    spec = write_spec(
        harness,
        """
name: global
steps:
  blobs: {{type: "big_steps:Blobs", rows: 60, size: 40000, batch_size: 10}}
  double: {{type: "mysteps:DoubleAsync", after: blobs, input_batch_size: 8}}
  reverse: {{type: "mysteps:Reverse", after: double, input_batch_size: 7}}
  twice: {{type: "mysteps:Twice", after: reverse, input_batch_size: 9}}
""",
    )
    code, said = harness.run(spec, "--payloads", store.url)
    assert code == 0, said
    for copy in (0, 1):
        assert [row["n"] for row in harness.rows() if row["copy"] == copy] == list(range(59, -1, -1))
    assert all(row["double"] == 2 * row["n"] for row in harness.rows())
    assert store.paths() == []
