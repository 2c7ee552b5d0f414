"""Workers and coordinators that stand still for longer than their lease, are replaced, and then go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from common.batch import Result
from common.broker.runs import RunRegistry
from common.keys import Keys
from tests.integration.harness import Command, Harness, harnesses, wait_for
from tests.integration.pipelines import CHAIN, GRAPH, Pipeline, assert_nothing_runs
from tests.integration.sight import Sight
from tests.redis_server import RedisServer

GATED = """
name: gated
steps:
  count: {{type: "mysteps:Count", rows: 600, batch_size: 20, seconds: 0.02}}
  double: {{type: "mysteps:Gated", after: count, input_batch_size: 20, seconds: 0.02, gate: "{gate}", at: 100}}
  keep: {{type: KeepColumns, after: double, columns: [n, double]}}
"""


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


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    for harness in harnesses(tmp_path_factory.mktemp("chain")):
        yield Pipeline.left_alone(harness, CHAIN)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    for harness in harnesses(tmp_path_factory.mktemp("graph")):
        yield Pipeline.left_alone(harness, GRAPH)


def start_workers(harness: Harness, broker: str, *steps: str) -> list[Command]:
    """One external worker per name."""
    return [
        harness.start(
            "pipeline-worker",
            *("--step", step, "--broker", broker, "--allow", "mysteps", "--base-dir", str(harness.folder)),
        )
        for step in steps
    ]


def start_external(harness: Harness, broker: str, pipeline: Pipeline, *arguments: str) -> Command:
    """A coordinator that starts no workers."""
    return pipeline.start(harness, "--broker", broker, "--workers", "external", *arguments)


def check_workers_leave(workers: list[Command]) -> None:
    """The run has ended, and they with it."""
    assert [worker.wait(30) for worker in workers] == [0] * len(workers)


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
    pipeline.check_end(harness, command)
    check_workers_leave(workers)
    assert seqs(sight, "double") == list(range(30))
    assert "batch 5 of double has another owner now" in sight.log()


def test_a_generator_that_stood_still_while_another_took_it_over_changes_nothing(
    harness: Harness, broker: str, sight: Sight, chain: Pipeline
) -> None:
    workers = start_workers(harness, broker, "count", "count", "double", "double", "keep", "keep")
    command = start_external(harness, broker, chain)
    sight.wait_for_results("count", 3)
    before = owner(sight)
    zombie = psutil.Process(before[1])
    zombie.suspend()
    wait_for(lambda: owner(sight)[0] != before[0], 30, "another owner")
    zombie.resume()
    chain.check_end(harness, command)
    check_workers_leave(workers)
    assert seqs(sight, "count") == list(range(30))


def owner(sight: Sight) -> tuple[str, int]:
    """The worker that serves the generator, and its process."""
    connection = sight.connect()
    found = (connection.command("HGET", Keys(sight.run_id).generator("count"), "owner") or b"").decode()
    pids = {record.worker_id: record.pid for record in RunRegistry(connection).workers(sight.run_id)}
    connection.close()
    return found, pids.get(found, 0)


@pytest.mark.parametrize("step", ["odd", "async", "reverse", "last"])
def test_every_kind_of_worker_may_stand_still(
    harness: Harness, broker: str, sight: Sight, graph: Pipeline, step: str
) -> None:
    steps = ["count", "odd", "slow", "twice", "async", "keep", "reverse", "last"]
    workers = start_workers(harness, broker, *steps, step)
    command = start_external(harness, broker, graph)
    wait_for(lambda: sight.in_hand(step), 60, "a batch in hand")
    zombie = psutil.Process(sight.holder(step))
    zombie.suspend()
    wait_for(lambda: "which is dead" in sight.log() or command.process.poll() is not None, 60, "a takeover")
    zombie.resume()
    graph.check_end(harness, command)
    check_workers_leave(workers)


def stand_still(command: Command, sight: Sight) -> psutil.Process:
    """Suspends a coordinator until its lease has run out."""
    process = psutil.Process(command.process.pid)
    process.suspend()
    connection = sight.connect()
    wait_for(lambda: not connection.command("EXISTS", Keys(sight.run_id).lease), 30, "the end of the lease")
    connection.close()
    return process


def test_a_coordinator_that_stood_still_while_another_took_over_steps_aside(
    harness: Harness, broker: str, sight: Sight, chain: Pipeline, tmp_path: Path
) -> None:
    workers = start_workers(harness, broker, "count", "double", "keep")
    first = start_external_without_parts(harness, broker, chain)
    sight.wait_for_results("keep", 3)
    stood = stand_still(first, sight)
    second = start_external(harness, broker, chain, "--cache-dir", str(tmp_path / "other"))
    sight.wait_for_results("keep", 8)
    stood.resume()
    assert first.wait() == 75, first.text
    assert "another coordinator has taken over" in first.text
    assert second.wait() == 0, second.text
    (dataset,) = (tmp_path / "other").glob("*/*/dataset")
    assert harness.digest("keep", dataset) == chain.digests["keep"]
    check_workers_leave(workers)
    assert_nothing_runs(harness, timeout=0)
    assert not (harness.run_directory / "partial").exists()


def start_external_without_parts(harness: Harness, broker: str, pipeline: Pipeline) -> Command:
    """A coordinator that keeps its rows in hand."""
    return pipeline.start(harness, "--broker", broker, "--workers", "external", PART_ROWS="2000", FLUSH_INTERVAL="60")


def test_a_takeover_without_the_run_directory_is_refused_in_words_and_its_owner_can_go_on(
    harness: Harness, broker: str, sight: Sight, chain: Pipeline, tmp_path: Path
) -> None:
    workers = start_workers(harness, broker, "count", "double", "keep")
    first = start_external(harness, broker, chain)
    wait_for(lambda: sight.parts() >= 1, 60, "a part")

    second = start_external(harness, broker, chain)
    assert second.wait() == 75
    assert f"is in use by process {first.process.pid}" in second.text

    elsewhere = ("--cache-dir", str(tmp_path / "other"))
    third = start_external(harness, broker, chain, *elsewhere)
    assert third.wait() == 75
    assert f"is coordinated by process {first.process.pid}" in third.text

    stood = stand_still(first, sight)
    fourth = start_external(harness, broker, chain, *elsewhere)
    assert fourth.wait() == 1
    assert "it is not there: the run directory is not shared with the host that wrote it" in fourth.text
    stood.resume()
    assert first.wait() == 75
    assert "another coordinator has taken over" in first.text
    check_workers_leave(workers)

    workers = start_workers(harness, broker, "count", "double", "keep")
    chain.check_end(harness, start_external(harness, broker, chain))
    check_workers_leave(workers)


def test_a_coordinator_that_stood_still_and_found_its_lease_free_goes_on(
    harness: Harness, broker: str, sight: Sight, chain: Pipeline
) -> None:
    workers = start_workers(harness, broker, "count", "double", "keep")
    command = start_external(harness, broker, chain)
    sight.wait_for_results("keep", 3)
    stand_still(command, sight).resume()
    chain.check_end(harness, command)
    check_workers_leave(workers)
