"""`pipeline-worker --stay`: a worker as a service, which outlives the runs that it serves."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from common.broker.connection import Connection
from common.broker.runs import RunRegistry
from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.runs.hosts import MINE, coordinator, run_ids, said, the_run, worker
from tests.support.runs.sight import is_keeper
from tests.support.runs.stages import ROWS, STAGE_NAMES, Staged
from tests.support.servers.redis_server import RedisServer

SPEC = """
name: {name}
steps:
  load: {{type: "mysteps:Count", rows: {rows}, batch_size: 10}}
  double: {{type: "mysteps:Double", after: load, input_batch_size: 10, seconds: {seconds}}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def write(harness: Harness, name: str = "first", rows: int = 100, seconds: float = 0) -> Path:
    return harness.write_spec(SPEC.format(name=name, rows=rows, seconds=seconds), f"{name}.yaml")


def staying(harness: Harness, url: str) -> list[Command]:
    return [worker(harness, url, step, "--stay") for step in ("load", "double")]


def doubles(harness: Harness, name: str) -> list[int]:
    (dataset,) = (harness.folder / "cache" / name).glob("*/dataset")
    return [row["double"] for row in harness.rows("double", dataset)]


def check_stop(workers: list[Command]) -> None:
    for one in workers:
        one.kill(signal.SIGTERM)
    assert [one.wait(30) for one in workers] == [0] * len(workers), [one.text for one in workers]


def test_one_run_after_another_is_served_until_it_is_told_to_stop(harness: Harness, redis_url: str) -> None:
    workers = staying(harness, redis_url)
    for name, rows in (("first", 100), ("second", 50)):
        run = coordinator(harness, write(harness, name, rows), redis_url)
        assert run.wait(60) == 0, run.text
        assert doubles(harness, name) == [2 * n for n in range(rows)]
    check_stop(workers)
    assert harness.left_over() == []


def test_a_run_sees_the_source_of_its_own_time(harness: Harness, redis_url: str) -> None:
    """A process that had imported the module for the first run would be refused by the second one."""
    workers = staying(harness, redis_url)
    assert coordinator(harness, write(harness), redis_url).wait(60) == 0
    spec = write(harness, "second")
    source = harness.folder / "mysteps.py"
    source.write_text(source.read_text().replace("2 * row[", "3 * row["))
    run = coordinator(harness, spec, redis_url)
    assert run.wait(60) == 0, run.text
    assert doubles(harness, "second") == [3 * n for n in range(100)]
    check_stop(workers)


def test_a_process_that_is_killed_is_started_again(harness: Harness, redis_url: str) -> None:
    workers = staying(harness, redis_url)
    run = coordinator(harness, write(harness, seconds=0.3), redis_url)
    said(workers[1], "step 'double' loaded")
    (child, *_) = [one for one in psutil.Process(workers[1].process.pid).children() if not is_keeper(one)]
    child.kill()
    said(workers[1], "worker of step 'double' died (SIGKILL); starting another")
    assert run.wait(90) == 0, run.text
    assert doubles(harness, "first") == [2 * n for n in range(100)]
    check_stop(workers)


def test_workers_of_all_stages_wait_for_theirs_and_outlive_them(tmp_path: Path, redis_url: str) -> None:
    for harness in harnesses(tmp_path):
        staged = Staged(harness)
        mine = ("--allow", "mysteps", "--allow", "staged_steps", "--base-dir", ".", "--broker", redis_url, "--stay")
        workers = [harness.start("pipeline-worker", "--step", step, *mine) for step in STAGE_NAMES]
        run = coordinator(harness, staged.write("sequential_step_execution"), redis_url)
        assert run.wait(90) == 0, run.text
        assert "no worker for step" not in run.text
        assert [row["double"] for row in harness.rows("keep")] == [2 * n for n in range(ROWS)]
        staged.check_turns(["count"], ["one"], ["two"], ["keep"])
        assert all(one.process.poll() is None for one in workers)
        check_stop(workers)


def test_all_steps_are_served_run_after_run(harness: Harness, redis_url: str) -> None:
    all_steps = harness.start("pipeline-worker", "--all-steps", "--stay", "--broker", redis_url, *MINE)
    for name in ("first", "second"):
        run = coordinator(harness, write(harness, name), redis_url)
        assert run.wait(60) == 0, run.text
    check_stop([all_steps])
    assert harness.left_over() == []


def test_a_run_without_a_coordinator_is_passed_over_and_the_next_one_is_served(
    harness: Harness, redis_url: str
) -> None:
    killed = coordinator(harness, write(harness), redis_url)
    run_id, registry = the_run(redis_url), RunRegistry(Connection(redis_url))
    wait_for(lambda: registry.status(run_id)[0] == "running", what="the run")
    killed.kill()
    killed.wait()
    wait_for(lambda: not registry.is_coordinated(run_id), what="the end of the lease")
    workers = staying(harness, redis_url)
    for one in workers:
        said(one, f"skipped: run '{run_id}' has no coordinator")
        said(one, "waiting for a run that needs step")
    run = coordinator(harness, write(harness, "second", 50), redis_url)
    assert run.wait(60) == 0, run.text
    assert doubles(harness, "second") == [2 * n for n in range(50)]
    again = coordinator(harness, write(harness), redis_url)
    assert again.wait(60) == 0, again.text
    waited = [one.text.partition("loaded by worker")[0] for one in workers]
    assert [text.count("has no coordinator") for text in waited] == [1, 1]
    check_stop(workers)


def test_workers_that_several_runs_want_wait_until_it_is_one(harness: Harness, redis_url: str) -> None:
    lease = {"COORDINATOR_LEASE": "30"}
    runs = [coordinator(harness, write(harness, name), redis_url, **lease) for name in ("first", "second")]
    wait_for(lambda: len(run_ids(redis_url)) == 2, what="two runs")
    registry = RunRegistry(Connection(redis_url))
    wait_for(lambda: all(registry.status(one)[0] == "running" for one in run_ids(redis_url)), what="both under way")
    listed = ", ".join(run_ids(redis_url))
    workers = staying(harness, redis_url)
    for one, step in zip(workers, ("load", "double"), strict=True):
        remedy = "waiting until one is left (or choose one with --run RUN)"
        said(one, f"several runs need step '{step}': {listed}; {remedy}")
    runs[0].kill(signal.SIGINT)
    assert runs[0].wait(60) == 130, runs[0].text
    assert runs[1].wait(60) == 0, runs[1].text
    assert doubles(harness, "second") == [2 * n for n in range(100)]
    assert [one.text.count("several runs need") for one in workers] == [1, 1]
    check_stop(workers)


def test_a_broker_that_goes_away_between_two_runs_is_waited_for(harness: Harness) -> None:
    with RedisServer() as server:
        workers = staying(harness, server.url)
        for waiting in workers:
            said(waiting, "waiting for a run that needs step")
        server.kill()
        for waiting in workers:
            said(waiting, "cannot be reached")
        server.start()
        run = coordinator(harness, write(harness), server.url)
        assert run.wait(60) == 0, run.text
        check_stop(workers)


def test_a_stop_in_mid_run_hands_the_batches_back(harness: Harness, redis_url: str) -> None:
    load, double = staying(harness, redis_url)
    run = coordinator(harness, write(harness, seconds=0.3), redis_url)
    said(double, "step 'double' loaded")
    check_stop([double])
    assert run.process.poll() is None
    again = worker(harness, redis_url, "double", "--stay")
    assert run.wait(90) == 0, run.text
    assert doubles(harness, "first") == [2 * n for n in range(100)]
    check_stop([load, again])


def test_a_second_signal_ends_it_at_once(harness: Harness, redis_url: str) -> None:
    load, double = staying(harness, redis_url)
    coordinator(harness, write(harness, rows=20, seconds=60), redis_url)
    said(double, "step 'double' loaded")
    wait_for(lambda: psutil.Process(double.process.pid).children(), what="its process")
    double.kill(signal.SIGTERM)
    double.kill(signal.SIGINT)
    assert double.wait(30) == 130
    check_stop([load])
