"""One coordinator after another, on a broker that outlives them and with workers that do not belong to them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from common.protocol.keys import RUNS, Keys
from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.runs.pipelines import (
    GATED,
    Pipeline,
    assert_nothing_runs,
    start_external,
    start_workers,
)
from tests.support.runs.sight import Sight
from tests.support.servers.redis_server import RedisServer


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path, PART_ROWS="60", FLUSH_INTERVAL="0.2", STARTING_HINT="1")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def broker(server: RedisServer) -> str:
    return server.url


@pytest.fixture
def sight(harness: Harness, broker: str) -> Sight:
    return Sight(harness, broker)


def workers_of_all_steps(harness: Harness, broker: str) -> list[Command]:
    """One for each step of the chain."""
    return start_workers(harness, broker, "count", "double", "keep")


def check_workers_leave(workers: list[Command]) -> None:
    """The run has ended, and its workers too."""
    assert [worker.wait(30) for worker in workers] == [0] * len(workers)


def check_workers_are_known(command: Command) -> None:
    """The coordinator has not asked for workers that are there."""
    assert "no worker for step" not in command.text


def test_workers_serve_the_coordinator_that_comes_after_one_that_was_killed(
    harness: Harness, broker: str, sight: Sight, chain: Pipeline
) -> None:
    gate = harness.folder / "gate"
    pipeline = Pipeline(GATED.format(gate=gate), chain.digests)
    gate.touch()
    workers = workers_of_all_steps(harness, broker)
    first = start_external(harness, broker, pipeline)
    sight.wait_for_results("double", 3)
    first.kill()
    first.wait()
    second = start_external(harness, broker, pipeline, STARTING_HINT="0.1")
    sight.wait_for_status("running")
    wait_for(lambda: all(sight.workers(step) for step in ("count", "double", "keep")), what="the workers")
    gate.unlink()
    pipeline.check_end(harness, second, workers)
    check_workers_are_known(second)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_sends_external_workers_home(
    harness: Harness, broker: str, sight: Sight, chain: Pipeline, number: signal.Signals
) -> None:
    workers = workers_of_all_steps(harness, broker)
    command = start_external(harness, broker, chain)
    sight.wait_for_results("double", 3)
    os.killpg(command.process.pid, number)
    assert command.wait() == 130, command.text
    check_workers_leave(workers)
    assert_nothing_runs(harness)
    workers = workers_of_all_steps(harness, broker)
    chain.check_end(harness, start_external(harness, broker, chain), workers)


def test_a_run_goes_on_by_itself_when_its_broker_comes_back(
    harness: Harness, server: RedisServer, sight: Sight, chain: Pipeline
) -> None:
    workers = workers_of_all_steps(harness, server.url)
    command = start_external(harness, server.url, chain)
    for results in (3, 10, 17):
        sight.wait_for_results("double", results)
        server.restart()
    chain.check_end(harness, command, workers)


def test_a_stop_is_heard_while_the_broker_is_away(
    harness: Harness, server: RedisServer, sight: Sight, chain: Pipeline
) -> None:
    workers = workers_of_all_steps(harness, server.url)
    command = start_external(harness, server.url, chain, PATIENCE="100")
    sight.wait_for_results("double", 5)
    server.kill()
    wait_for(lambda: "cannot be reached" in command.text, what="the coordinator's word of it")
    command.kill(signal.SIGINT)
    assert command.wait(10) == 130, command.text
    assert (harness.run_directory / "partial" / "INCOMPLETE.json").exists()
    server.start()
    second = start_external(harness, server.url, chain)
    chain.check_end(harness, second, workers)


def test_nothing_of_a_complete_run_stays_in_the_broker_for_ever(
    harness: Harness, broker: str, sight: Sight, chain: Pipeline
) -> None:
    workers = workers_of_all_steps(harness, broker)
    chain.check_end(harness, start_external(harness, broker, chain), workers)
    connection = sight.connect()
    keys = {key.decode(): int(connection.command("PTTL", key)) for key in connection.command("KEYS", "*")}
    connection.close()
    keys.pop(RUNS)
    assert keys[Keys(sight.run_id).run] > 0
    assert {key: left for key, left in keys.items() if left < 0} == {}


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
    workers = workers_of_all_steps(harness, broker)
    first = start_external(harness, broker, chain, PART_ROWS="2000", FLUSH_INTERVAL="60")
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
    assert_nothing_runs(harness)
    assert not (harness.run_directory / "partial").exists()


def start_external_without_parts(harness: Harness, broker: str, pipeline: Pipeline) -> Command:
    """A coordinator that keeps its rows in hand."""
    return pipeline.start(harness, "--broker", broker, "--workers", "external", PART_ROWS="2000", FLUSH_INTERVAL="60")


def test_a_takeover_without_the_run_directory_is_refused_in_words_and_its_owner_can_go_on(
    harness: Harness, broker: str, sight: Sight, chain: Pipeline, tmp_path: Path
) -> None:
    gate = harness.folder / "gate"
    gate.touch()
    pipeline = Pipeline(GATED.format(gate=gate), chain.digests)
    workers = workers_of_all_steps(harness, broker)
    first = start_external(harness, broker, pipeline)
    wait_for(lambda: sight.parts() >= 1, 60, "a part")

    second = start_external(harness, broker, pipeline)
    assert second.wait() == 75
    assert f"is in use by process {first.process.pid}" in second.text

    elsewhere = ("--cache-dir", str(tmp_path / "other"))
    third = start_external(harness, broker, pipeline, *elsewhere)
    assert third.wait() == 75
    assert f"is coordinated by process {first.process.pid}" in third.text

    stood = stand_still(first, sight)
    fourth = start_external(harness, broker, pipeline, *elsewhere)
    assert fourth.wait() == 1
    assert "it is not there: the run directory is not shared with the host that wrote it" in fourth.text
    stood.resume()
    assert first.wait() == 75
    assert "another coordinator has taken over" in first.text
    gate.unlink()
    check_workers_leave(workers)

    workers = workers_of_all_steps(harness, broker)
    pipeline.check_end(harness, start_external(harness, broker, pipeline), workers)


def test_a_coordinator_that_stood_still_and_found_its_lease_free_goes_on(
    harness: Harness, broker: str, sight: Sight, chain: Pipeline
) -> None:
    workers = workers_of_all_steps(harness, broker)
    command = start_external(harness, broker, chain)
    sight.wait_for_results("keep", 3)
    stand_still(command, sight).resume()
    chain.check_end(harness, command, workers)


def test_a_run_that_was_begun_at_another_broker_is_not_begun_again_here(
    harness: Harness, broker: str, sight: Sight, chain: Pipeline
) -> None:
    begun = chain.start(harness)
    Sight(harness).wait_for_results("keep", 2)
    begun.kill(signal.SIGINT)
    assert begun.wait() == 130
    elsewhere = chain.start(harness, "--broker", broker)
    assert elsewhere.wait() == 2
    assert "was begun with the embedded broker, and this broker does not know it" in elsewhere.text
    chain.finish(harness)
