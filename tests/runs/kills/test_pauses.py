"""Workers that are suspended for longer than their lease, lose their batches to others, and then continue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from common.broker.runs import RunRegistry
from common.protocol.batch import Result
from common.protocol.keys import Keys
from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.pipelines import CHAIN, GATED, Pipeline, start_external, start_workers
from tests.support.runs.sight import Sight
from tests.support.servers.redis_server import RedisServer


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path, PART_ROWS="60", FLUSH_INTERVAL="0.2")


@pytest.fixture
def broker() -> Iterator[str]:
    with RedisServer() as server:
        yield server.url


@pytest.fixture
def sight(harness: Harness, broker: str) -> Sight:
    return Sight(harness, broker)


def seqs(sight: Sight, step: str) -> list[int]:
    """Of the step's results, as the journal has them."""
    return sorted(entry.seq for entry in sight.journal() if isinstance(entry, Result) and entry.step == step)


def test_a_worker_that_stood_still_while_another_took_its_batch_changes_nothing(
    harness: Harness, broker: str, sight: Sight, chain: Pipeline
) -> None:
    gate = harness.folder / "gate"
    waiting = gate.with_suffix(".waiting")
    gate.touch()
    workers = start_workers(harness, broker, "count", "count", "double", "double", "keep", "keep")
    pipeline = Pipeline(GATED.format(gate=gate), chain.digests)
    command = start_external(harness, broker, pipeline)
    wait_for(lambda: waiting.exists() and waiting.read_text().endswith("\n"), 60, "a worker at the gate")
    zombie = psutil.Process(int(waiting.read_text()))
    zombie.suspend()
    wait_for(lambda: len(waiting.read_text().splitlines()) == 2, 60, "another worker at the gate")
    zombie.resume()
    gate.unlink()
    pipeline.check_end(harness, command, workers)
    assert seqs(sight, "double") == list(range(30))
    assert any("batch 5 of double has another owner now" in worker.text for worker in workers)


def test_a_generator_that_stood_still_while_another_took_it_over_changes_nothing(
    harness: Harness, broker: str, sight: Sight, chain: Pipeline
) -> None:
    slow = Pipeline(CHAIN.replace("seconds: 0.02", "seconds: 0.15"), chain.digests)
    workers = start_workers(harness, broker, "count", "count", "double", "double", "keep", "keep")
    command = start_external(harness, broker, slow)
    sight.wait_for_results("count", 3)
    before = owner(sight)
    zombie = psutil.Process(before[1])
    zombie.suspend()
    assert sight.results("count") < 30, "else there is nothing to take over"
    wait_for(lambda: owner(sight)[0] != before[0], 30, "another owner")
    zombie.resume()
    chain.check_end(harness, command, workers)
    assert seqs(sight, "count") == list(range(30))


def owner(sight: Sight) -> tuple[str, int]:
    """The worker that serves the generator, and its process."""
    connection = sight.connect()
    found = (connection.command("HGET", Keys(sight.run_id).generator("count"), "owner") or b"").decode()
    pids = {record.worker_id: record.pid for record in RunRegistry(connection).workers(sight.run_id)}
    connection.close()
    return found, pids.get(found, 0)


@pytest.mark.parametrize("step", ["slow", "async", "reverse"])
def test_every_kind_of_worker_may_stand_still(
    harness: Harness, broker: str, sight: Sight, graph: Pipeline, step: str
) -> None:
    steps = ["count", "odd", "slow", "twice", "async", "keep", "reverse", "last"]
    workers = start_workers(harness, broker, *steps, step)
    command = start_external(harness, broker, graph)
    wait_for(lambda: sight.in_hand(step), 60, "a batch in hand")
    zombie = psutil.Process(wait_for(lambda: sight.holder(step), what="a worker with a batch in hand"))
    zombie.suspend()
    wait_for(lambda: "of dead worker" in sight.log() or command.process.poll() is not None, 60, "a takeover")
    zombie.resume()
    graph.check_end(harness, command, workers)
