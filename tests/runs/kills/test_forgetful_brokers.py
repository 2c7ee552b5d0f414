"""Brokers that come back in the middle of a run and have forgotten what was written last, or everything."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from common.protocol.keys import Keys
from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.runs.pipelines import CHAIN, GATED, Pipeline, start_external, start_workers
from tests.support.runs.sight import Sight
from tests.support.servers.redis_server import RedisServer

STEPS = ("count", "double", "keep")


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path, PART_ROWS="60", FLUSH_INTERVAL="0.2")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def sight(harness: Harness, server: RedisServer) -> Sight:
    return Sight(harness, server.url)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    for harness in harnesses(tmp_path_factory.mktemp("chain")):
        yield Pipeline.left_alone(harness, CHAIN)


def append_only_file(server: RedisServer) -> Path:
    return max((*server.folder.rglob("*.incr.aof"), *server.folder.glob("*.aof")), key=lambda path: path.stat().st_size)


def forget(server: RedisServer, size: int) -> None:
    """The server comes back with the first `size` bytes of its log."""
    server.kill()
    os.truncate(append_only_file(server), size)
    server.start()


def workers_of(harness: Harness, server: RedisServer) -> list[Command]:
    return start_workers(harness, server.url, *STEPS)


def test_a_run_goes_on_where_the_broker_has_forgotten_that_its_coordinator_took_over(
    harness: Harness, server: RedisServer, sight: Sight, chain: Pipeline
) -> None:
    gate = harness.folder / "gate"
    pipeline = Pipeline(GATED.format(gate=gate), chain.digests)
    gate.touch()
    workers = workers_of(harness, server)
    first = start_external(harness, server.url, pipeline)
    sight.wait_for_results("double", 3)
    first.kill()
    first.wait()
    size = append_only_file(server).stat().st_size
    second = start_external(harness, server.url, pipeline)
    wait_for(lambda: "coordinates" in log(harness) and "(epoch 2:" in log(harness), what="the second coordinator")
    forget(server, size)
    gate.unlink()
    pipeline.check_end(harness, second, workers)
    assert "(epoch 2:" in log(harness)


def log(harness: Harness) -> str:
    return (harness.run_directory / "pipeline.log").read_text()


def test_a_broker_that_comes_back_with_nothing_makes_the_run_start_from_its_beginning(
    harness: Harness, server: RedisServer, sight: Sight, chain: Pipeline
) -> None:
    workers = dict(zip(STEPS, workers_of(harness, server), strict=True))
    command = start_external(harness, server.url, chain)
    sight.wait_for_results("double", 5)
    forget(server, 0)
    wait_for(lambda: command.process.poll() is not None or restart(harness, server, workers), 100, "the end of the run")
    chain.check_end(harness, command, list(workers.values()))
    assert "the broker has lost the data of this run, so the run starts from the beginning" in command.text


def restart(harness: Harness, server: RedisServer, workers: dict[str, Command]) -> None:
    """Restarts, as a service manager does, workers that came back before the run was known again."""
    for step, worker in workers.items():
        if worker.process.poll() == 1:
            assert "it has lost its data, or the run was removed" in worker.text
            (workers[step],) = start_workers(harness, server.url, step)


def test_local_workers_go_on_where_the_broker_has_forgotten_the_last_batches(
    harness: Harness, server: RedisServer, sight: Sight, chain: Pipeline
) -> None:
    command = chain.start(harness, "--broker", server.url)
    sight.wait_for_results("double", 4)
    size = append_only_file(server).stat().st_size
    sight.wait_for_results("double", 10)
    forget(server, size)
    chain.check_end(harness, command)


def start_gated(
    harness: Harness, server: RedisServer, chain: Pipeline, *, lease: str
) -> tuple[Pipeline, Path, Command]:
    """The chain with a step that waits, with a batch in hand, until its gate is gone."""
    gate = harness.folder / "gate"
    gate.touch()
    gated = Pipeline(GATED.format(gate=gate), chain.digests)
    command = gated.start(harness, "--broker", server.url, WORKER_LEASE=lease, COORDINATOR_LEASE=lease)
    wait_for(gate.with_suffix(".waiting").exists, what="the step that waits")
    return gated, gate, command


def test_local_workers_that_find_nothing_of_their_run_are_started_again_until_it_is_made_anew(
    harness: Harness, server: RedisServer, sight: Sight, chain: Pipeline
) -> None:
    gated, gate, command = start_gated(harness, server, chain, lease="4")
    others = [sight.worker(step) for step in ("count", "keep")]
    command.kill(signal.SIGSTOP)
    forget(server, 0)
    wait_for(lambda: not any(worker.is_running() for worker in others), what="the other workers to leave")
    command.kill(signal.SIGCONT)
    wait_for(lambda: "the run starts from the beginning" in command.text, 10, "the run to start over")
    gate.unlink()  # now the first worker leaves as well
    gated.check_end(harness, command)


def test_a_broker_that_is_emptied_while_nobody_writes_is_noticed_long_before_a_lease_is_over(
    harness: Harness, server: RedisServer, sight: Sight, chain: Pipeline
) -> None:
    gated, gate, command = start_gated(harness, server, chain, lease="15")
    sight.wait_for_results("count", 30)
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        client.flushall()
    wait_for(lambda: "the run starts from the beginning" in command.text, 3, "the run to notice")
    gate.unlink()
    gated.check_end(harness, command)
    assert "died (exit code" not in log(harness)


LINGERING = """
name: lingering
steps:
  count: {{type: "mysteps:Count", rows: 20}}
  double: {{type: "mysteps:Lingering", after: count, gate: "{gate}"}}
"""


def test_an_end_that_the_broker_has_forgotten_is_told_again(
    harness: Harness, server: RedisServer, sight: Sight
) -> None:
    gate = harness.folder / "gate"
    gate.touch()
    command = harness.start_run(harness.write_spec(LINGERING.format(gate=gate)), "--broker", server.url)
    wait_for(gate.with_suffix(".waiting").exists, what="the step that waits in unload")
    sight.wait_for_status("complete")
    keys = Keys(sight.run_id)
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        for key in (keys.run, keys.progress, keys.journal):  # as they were a moment before
            client.persist(key)
        client.hset(keys.run, "status", "running")
        gate.unlink()
        assert command.wait() == 0, command.text
        assert client.hget(keys.run, "status") == b"complete"
        assert [key for key in client.keys("penstock:{*") if client.ttl(key) == -1] == []
