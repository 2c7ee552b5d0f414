"""`kill -9` of anything, in mid-run: in the end the same rows in the same order as an uninterrupted run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.pipelines import CHAIN, GRAPH, Pipeline, assert_nothing_runs
from tests.support.runs.sight import Sight

SMALL_PARTS = {"PART_ROWS": "60"}


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path, **SMALL_PARTS)


@pytest.fixture
def sight(harness: Harness) -> Sight:
    return Sight(harness)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    for harness in harnesses(tmp_path_factory.mktemp("chain")):
        pipeline = Pipeline.left_alone(harness, CHAIN)
        assert [row["n"] for row in harness.rows("keep")] == list(range(600))
        yield pipeline


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    for harness in harnesses(tmp_path_factory.mktemp("graph")):
        pipeline = Pipeline.left_alone(harness, GRAPH)
        twice_each_odd = [(n, copy) for n in range(1, 500, 2) for copy in (0, 1)]
        for leaf in ("keep", "last"):
            assert sorted((row["n"], row["copy"]) for row in harness.rows(leaf)) == twice_each_odd
        yield pipeline


# workers


@pytest.mark.parametrize("step", ["count", "slow", "async", "reverse"])
def test_a_killed_worker_is_replaced_and_its_work_done_once(
    harness: Harness, sight: Sight, graph: Pipeline, step: str
) -> None:
    command = graph.start(harness)
    if step == "reverse":
        wait_for(lambda: sight.in_hand("reverse"), 60, "the global step")
    else:
        sight.wait_for_results(step, 5)
        wait_for(lambda: sight.in_hand(step), what="a batch in hand")
    victim = sight.worker(step)
    victim.kill()
    graph.check_end(harness, command)
    assert f"worker of step '{step}' died (SIGKILL)" in sight.log()


def test_a_worker_whose_lease_keeper_is_killed_gets_another_and_goes_on(
    harness: Harness, sight: Sight, chain: Pipeline
) -> None:
    command = chain.start(harness)
    sight.wait_for_results("double", 3)
    worker = sight.worker("double")
    keeper = sight.keeper(worker)
    assert keeper is not None
    keeper.kill()
    assert wait_for(lambda: sight.keeper(worker) not in (None, keeper), what="another keeper")
    assert sight.results("double") < 30
    chain.check_end(harness, command)


def test_when_the_supervisor_is_killed_the_run_fails_and_the_next_command_goes_on(
    harness: Harness, sight: Sight, graph: Pipeline
) -> None:
    command = graph.start(harness)
    sight.wait_for_results("async", 5)
    sight.supervisor(command).kill()
    assert command.wait() == 1
    assert "the local workers have ended" in command.text
    assert_nothing_runs(harness)
    graph.finish(harness)


# the coordinator, the guardian, everything


@pytest.mark.parametrize("step", ["count", "async", "reverse", "last"])
def test_when_the_coordinator_is_killed_everything_ends_and_the_next_command_goes_on(
    harness: Harness, sight: Sight, graph: Pipeline, step: str
) -> None:
    command = graph.start(harness)
    if step == "reverse":
        wait_for(lambda: sight.in_hand("reverse"), 60, "the global step")
    else:
        sight.wait_for_results(step, 2)
    command.kill()
    assert_nothing_runs(harness)
    graph.finish(harness)


def test_the_next_command_may_come_while_the_remains_of_a_killed_coordinator_are_cleared_away(
    harness: Harness, sight: Sight, graph: Pipeline
) -> None:
    command = graph.start(harness)
    sight.wait_for_results("async", 5)
    command.kill()
    graph.finish(harness)


def test_when_the_guardian_is_killed_everything_ends_and_the_next_command_goes_on(
    harness: Harness, sight: Sight, chain: Pipeline
) -> None:
    command = chain.start(harness)
    sight.wait_for_results("double", 5)
    sight.guardian(command).kill()
    assert command.wait() == 1
    assert "rerun the command to resume" in command.text
    assert_nothing_runs(harness)
    chain.finish(harness)


def test_when_everything_is_killed_at_once_the_next_command_goes_on(
    harness: Harness, sight: Sight, graph: Pipeline
) -> None:
    graph.start(harness)
    wait_for(lambda: sight.parts() >= 2, 60, "two parts")
    kill_everything(harness)
    graph.finish(harness)


def test_a_run_killed_over_and_over_again_gets_to_its_end(harness: Harness, sight: Sight, graph: Pipeline) -> None:
    for results in (4, 9, 14, 19):
        graph.start(harness)
        sight.wait_for_results("async", results)
        kill_everything(harness)
    graph.finish(harness)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 1.0])
def test_a_host_that_forgets_what_it_did_last_loses_work_and_nothing_else(
    harness: Harness, sight: Sight, graph: Pipeline, share: float
) -> None:
    graph.start(harness)
    wait_for(lambda: sight.parts() >= 2, 60, "two parts")
    kill_everything(harness)
    files = (harness.run_directory / "broker").rglob("*.aof")
    newest = max(files, key=lambda path: path.stat().st_mtime)
    os.truncate(newest, int(newest.stat().st_size * (1 - share)))
    said = graph.finish(harness)
    assert ("starts from the beginning" in said) == (share == 1)


# the embedded broker


def test_a_run_whose_broker_is_killed_goes_on_by_itself(harness: Harness, sight: Sight, graph: Pipeline) -> None:
    command = graph.start(harness)
    for results in (2, 10, 20):
        sight.wait_for_results("async", results)
        kill_broker(sight)
    graph.check_end(harness, command)


def test_a_broker_that_dies_a_fourth_time_ends_the_run_which_the_next_command_goes_on_with(
    harness: Harness, sight: Sight, chain: Pipeline
) -> None:
    command = chain.start(harness)
    for results in (2, 5, 8, 11):
        sight.wait_for_results("double", results)
        kill_broker(sight)
    assert command.wait() == 1
    assert "died 4 times" in command.text
    assert (harness.run_directory / "partial" / "INCOMPLETE.json").exists()
    assert_nothing_runs(harness)
    chain.finish(harness)


def kill_broker(sight: Sight) -> None:
    """Returns when it is dead."""
    pid = sight.redis()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: sight.redis() != pid, what="the broker's death")


def kill_everything(harness: Harness) -> None:
    """As a power cut does it: no process sees the others die."""
    processes = harness.processes()
    for process in processes:
        process.suspend()
    for process in processes:
        process.kill()
    assert_nothing_runs(harness)
