"""A second process that waits while a first one coordinates the run, and takes over when that one is gone."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.runs.pipelines import GATED, Pipeline, assert_nothing_runs, start_external, start_workers
from tests.support.runs.sight import Sight
from tests.support.servers.redis_server import RedisServer

LEASE = 1.0


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path, PART_ROWS="60", FLUSH_INTERVAL="0.2", STARTING_HINT="5")


@pytest.fixture
def broker() -> Iterator[str]:
    with RedisServer() as server:
        yield server.url


@pytest.fixture
def sight(harness: Harness, broker: str) -> Sight:
    return Sight(harness, broker)


@pytest.fixture
def gated(chain: Pipeline, gate: Path) -> Pipeline:
    return Pipeline(GATED.format(gate=gate), chain.digests)


def all_workers(harness: Harness, broker: str) -> list[Command]:
    return start_workers(harness, broker, "count", "double", "keep")


def start_standby(harness: Harness, broker: str, pipeline: Pipeline, first: Command, *arguments: str) -> Command:
    """Returns once it stands by for `first`."""
    command = start_external(harness, broker, pipeline, "--standby", *arguments)
    wait_for_words(command, f"is coordinated by process {first.process.pid} on ")
    return command


def wait_for_words(command: Command, words: str) -> None:
    wait_for(lambda: words in command.text, 30, f"'{words}'")


def lapse(begun: float) -> float:
    """Time since then, in leases."""
    return (time.monotonic() - begun) / LEASE


def test_a_standby_takes_over_from_a_coordinator_that_was_killed(
    harness: Harness, broker: str, sight: Sight, gated: Pipeline, gate: Path
) -> None:
    workers = all_workers(harness, broker)
    first = start_external(harness, broker, gated)
    wait_for(lambda: sight.parts() >= 1, 60, "a part")
    standby = start_standby(harness, broker, gated, first)
    done = sight.results("double")
    first.kill()
    begun = time.monotonic()
    wait_for_words(standby, "is gone; taking over")
    assert lapse(begun) < 2
    gate.unlink()
    gated.check_end(harness, standby, workers)
    assert done > 0
    results = [entry for entry in sight.journal() if getattr(entry, "seq", None) is not None]
    assert max(getattr(entry, "attempt", 0) for entry in results) == 0


def test_a_standby_takes_over_from_a_coordinator_that_stands_still_which_is_then_fenced(
    harness: Harness, broker: str, sight: Sight, gated: Pipeline, gate: Path
) -> None:
    workers = all_workers(harness, broker)
    first = start_external(harness, broker, gated)
    wait_for(lambda: sight.parts() >= 1, 60, "a part")
    standby = start_standby(harness, broker, gated, first)
    stood = psutil.Process(first.process.pid)
    stood.suspend()
    begun = time.monotonic()
    wait_for_words(standby, "is gone; taking over")
    assert lapse(begun) < 2
    wait_for(lambda: f"process {standby.process.pid} on" in harness.log, what="the new coordinator")
    stood.resume()
    assert first.wait() == 75, first.text
    assert "another coordinator has taken over" in first.text
    gate.unlink()
    gated.check_end(harness, standby, workers)


def test_a_standby_ends_with_the_run_that_the_other_completes(
    harness: Harness, broker: str, sight: Sight, gated: Pipeline, gate: Path
) -> None:
    workers = all_workers(harness, broker)
    first = start_external(harness, broker, gated)
    sight.wait_for_results("double", 1)
    standby = start_standby(harness, broker, gated, first)
    gate.unlink()
    assert first.wait() == 0, first.text
    assert standby.wait(10) == 0, standby.text
    assert "was already complete" in standby.text
    gated.check_end(harness, first, workers)


def test_a_standby_without_the_run_directory_says_where_the_run_was_completed(
    harness: Harness, broker: str, sight: Sight, gated: Pipeline, gate: Path, tmp_path: Path
) -> None:
    all_workers(harness, broker)
    first = start_external(harness, broker, gated)
    sight.wait_for_results("double", 1)
    standby = start_standby(harness, broker, gated, first, "--cache-dir", str(tmp_path / "other"))
    wait_for_words(standby, "this process cannot see the run directory")
    gate.unlink()
    assert first.wait() == 0, first.text
    assert standby.wait(20) == 0, standby.text
    assert f"its dataset is in {harness.run_directory} on " in standby.text


def test_a_standby_without_the_run_directory_refuses_in_words_and_leaves_the_run_as_it_is(
    harness: Harness, broker: str, sight: Sight, gated: Pipeline, gate: Path, tmp_path: Path
) -> None:
    workers = all_workers(harness, broker)
    first = start_external(harness, broker, gated)
    wait_for(lambda: sight.parts() >= 1, 60, "a part")
    standby = start_standby(harness, broker, gated, first, "--cache-dir", str(tmp_path / "other"))
    first.kill()
    assert standby.wait(20) == 1, standby.text
    assert "the run directory is not shared with the host that wrote it" in standby.text
    sight.wait_for_status("running")
    gate.unlink()
    gated.check_end(harness, start_external(harness, broker, gated), workers)


@pytest.mark.parametrize("dies", [False, True])
def test_a_standby_does_not_take_over_a_run_that_was_asked_to_stop(
    harness: Harness, broker: str, sight: Sight, gated: Pipeline, gate: Path, dies: bool
) -> None:
    workers = all_workers(harness, broker)
    first = start_external(harness, broker, gated, GRACE="60" if dies else "1")
    sight.wait_for_results("double", 1)
    standby = start_standby(harness, broker, gated, first)
    stop = harness.start("pipeline-coordinator", "stop", sight.run_id, "--broker", broker)
    if dies:
        wait_for_words(first, "stopping")
        first.kill()
    else:
        assert first.wait(30) == 130, first.text
    assert standby.wait(20) == 130, standby.text
    assert "asked to stop" in standby.text or "it was stopped" in standby.text
    gate.unlink()
    assert stop.wait(60) is not None
    assert [worker.wait(30) for worker in workers] == [0, 0, 0]
    assert_nothing_runs(harness)


def test_of_two_standbys_one_takes_over_and_the_other_stands_by_for_that_one(
    harness: Harness, broker: str, sight: Sight, gated: Pipeline, gate: Path
) -> None:
    workers = all_workers(harness, broker)
    first = start_external(harness, broker, gated)
    sight.wait_for_results("double", 1)
    two = [start_standby(harness, broker, gated, first) for _ in range(2)]
    first.kill()
    wait_for(lambda: any("taking over" in one.text for one in two), what="a takeover")
    second = next(one for one in two if "taking over" in one.text)
    third = next(one for one in two if one is not second)
    wait_for_words(third, f"is coordinated by process {second.process.pid} on ")
    second.kill()
    wait_for_words(third, f"process {second.process.pid} on")
    wait_for_words(third, "is gone; taking over")
    gate.unlink()
    gated.check_end(harness, third, workers)


def test_a_standby_is_stopped_alone(harness: Harness, broker: str, sight: Sight, gated: Pipeline, gate: Path) -> None:
    workers = all_workers(harness, broker)
    first = start_external(harness, broker, gated)
    sight.wait_for_results("double", 1)
    standby = start_standby(harness, broker, gated, first)
    standby.kill(signal.SIGINT)
    assert standby.wait(10) == 130, standby.text
    assert "it was only standing by" in standby.text
    gate.unlink()
    gated.check_end(harness, first, workers)


def test_a_standby_of_nobody_runs_the_pipeline(harness: Harness, broker: str, chain: Pipeline) -> None:
    workers = all_workers(harness, broker)
    chain.check_end(harness, start_external(harness, broker, chain, "--standby"), workers)


def test_who_finds_another_coordinator_is_told_of_standby(
    harness: Harness, broker: str, sight: Sight, gated: Pipeline, gate: Path
) -> None:
    workers = all_workers(harness, broker)
    first = start_external(harness, broker, gated)
    sight.wait_for_results("double", 1)
    second = start_external(harness, broker, gated)
    assert second.wait() == 75
    assert f"process {first.process.pid}" in second.text
    assert "add --standby" in second.text
    gate.unlink()
    gated.check_end(harness, first, workers)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "an embedded broker ends with its coordinator: pass --broker URL"),
        (("--broker", "redis://127.0.0.1:1", "--fresh"), "--fresh starts one: leave one of them out"),
        (("--broker", "redis://127.0.0.1:1", "--dry-run"), "--dry-run starts one: leave one of them out"),
    ],
)
def test_a_standby_that_makes_no_sense_is_refused_in_words(
    harness: Harness, chain: Pipeline, arguments: tuple[str, ...], reason: str
) -> None:
    command = chain.start(harness, "--standby", *arguments)
    assert command.wait() == 2
    assert reason in command.text


BEGUN_ANEW = """
import sys
from pathlib import Path

from common.broker.connection import Connection
from common.broker.runs import RunRegistry
from coordinator.cli import group
from coordinator.runs.run_directory import RunDirectory
from tests.support.meanwhile import before_the_lock

spec, url, directory = sys.argv[1], sys.argv[2], RunDirectory(Path(sys.argv[3]))


def begin_anew():
    with RunDirectory(directory.path) as other:
        record = other.read()
        RunRegistry(Connection(url)).delete(record.run)
        other.clear()
        other.write(record.model_copy(update={"status": "stopped", "dataset": None, "rows": {}}))


before_the_lock(directory, begin_anew)
group(["run", spec, "--standby", "--broker", url])
"""


def test_a_complete_run_that_is_begun_anew_before_the_standby_has_its_lock_is_gone_on_with(
    harness: Harness, broker: str
) -> None:
    spec = harness.write_spec('name: alone\nsteps:\n  count: {type: "mysteps:Count", rows: 40}\n')
    assert harness.run(spec, "--broker", broker)[0] == 0
    code, text = harness.run_script(BEGUN_ANEW, str(spec), broker, str(harness.run_directory))
    assert code == 0, text
    assert [row["n"] for row in harness.rows()] == list(range(40))
