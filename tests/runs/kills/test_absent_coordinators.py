"""Workers of other hosts whose coordinator is gone: they wait for the next one, and leave when none comes."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.runs.hosts import MINE, check_end, coordinator, said, the_run, worker
from tests.support.runs.sight import Sight

ROWS = 400
SPEC = """
name: absent
steps:
  load: {{type: "mysteps:Count", rows: 400, batch_size: 10}}
  double: {{type: "mysteps:Gated", after: load, input_batch_size: 10, seconds: 0.1, notes: n, gate: "{gate}", at: {at}}}
"""
GONE = 69
STEPS = ("load", "double")
LOADED = "step '{}' loaded by worker"


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def spec(harness: Harness, gate: Path, at: int | None) -> Path:
    return harness.write_spec(SPEC.format(gate=gate, at="null" if at is None else at))


def wait_at_gate(gate: Path) -> None:
    wait_for(lambda: gate.with_suffix(".waiting").exists(), 60, "someone at the gate")


def check_left(*workers: Command, timeout: str = "0.5") -> None:
    """The workers have left since no coordinator came, and have said so."""
    for one in workers:
        assert one.wait(60) == GONE, one.text
        assert f"has had no coordinator for {timeout} s: this worker leaves" in one.text
        assert "--coordinator-timeout" in one.text
        assert "Traceback" not in one.text


def check_rows(harness: Harness) -> None:
    assert [row["double"] for row in harness.rows("double")] == [2 * n for n in range(ROWS)]


def test_workers_leave_when_no_coordinator_comes_and_no_row_is_lost_or_run_twice(
    harness: Harness, redis_url: str, gate: Path
) -> None:
    written = spec(harness, gate, 50)
    run = coordinator(harness, written, redis_url)
    workers = [worker(harness, redis_url, step, "--coordinator-timeout", "0.5") for step in STEPS]
    wait_at_gate(gate)
    run.kill()
    run.wait()
    check_left(workers[0])  # the generator had tickets in hand
    said(workers[1], "no coordinator for 0.5 s")
    gate.unlink()  # its batch is finished before it leaves
    check_left(workers[1])
    assert Sight(harness, redis_url).in_hand("double") == 0
    assert Sight(harness, redis_url).in_hand("load") == 0
    following = coordinator(harness, written, redis_url)
    check_end(harness, following, [worker(harness, redis_url, step) for step in STEPS])
    check_rows(harness)
    ran = Counter(int(line.split()[1]) for line in (harness.folder / "n").read_text().splitlines())
    assert ran == Counter(range(ROWS))
    assert "unloaded" in harness.log


def test_a_worker_that_waits_serves_the_coordinator_that_comes_in_time(
    harness: Harness, redis_url: str, gate: Path
) -> None:
    written = spec(harness, gate, 50)
    run = coordinator(harness, written, redis_url)
    workers = [worker(harness, redis_url, step, COORDINATOR_TIMEOUT="60") for step in STEPS]
    wait_at_gate(gate)
    run.kill()
    for one in workers:
        said(one, "has no coordinator; waiting up to 60 s for the next one")
    following = coordinator(harness, written, redis_url)
    for one in workers:
        said(one, "has a coordinator again")
    gate.unlink()
    check_end(harness, following, workers)
    check_rows(harness)


def test_a_worker_that_comes_when_the_coordinator_is_gone_waits_as_long_and_leaves(
    harness: Harness, redis_url: str, gate: Path
) -> None:
    run = coordinator(harness, spec(harness, gate, None), redis_url)
    sight = Sight(harness, redis_url)
    the_run(redis_url)
    wait_for(lambda: list((harness.folder / "cache").glob("*/*/run.json")), what="the run")
    sight.wait_for_status("running")
    run.kill()
    check_left(worker(harness, redis_url, "load", COORDINATOR_TIMEOUT="0.5"))


def test_a_worker_leaves_in_the_midst_of_loading(harness: Harness, redis_url: str, gate: Path) -> None:
    run = coordinator(harness, spec(harness, gate, None), redis_url)
    late = worker(harness, redis_url, "double", "--coordinator-timeout", "0.5")
    wait_at_gate(gate)
    run.kill()
    check_left(late)
    assert gate.exists()


def test_workers_of_all_steps_leave_together_and_none_is_started_again(
    harness: Harness, redis_url: str, gate: Path
) -> None:
    run = coordinator(harness, spec(harness, gate, 390), redis_url)
    arguments = ("--all-steps", "--broker", redis_url, "--coordinator-timeout", "0.5", *MINE)
    workers = harness.start("pipeline-worker", *arguments)
    wait_at_gate(gate)
    run.kill()
    said(workers, "has had no coordinator")
    gate.unlink()
    check_left(workers)
    assert [workers.text.count(LOADED.format(step)) for step in STEPS] == [1, 1]
    wait_for(lambda: not harness.processes(), what="the end of all processes")


def test_workers_that_wait_for_a_description_of_another_step_leave_too(harness: Harness, redis_url: str) -> None:
    text = """
name: far
steps:
  load: {type: "mysteps:Count", rows: 90}
  scale: {type: "elsewhere:Scale", after: load}
"""
    run = coordinator(harness, harness.write_spec(text), redis_url)
    late = worker(harness, redis_url, "load", "--coordinator-timeout", "0.5")
    said(late, "is loaded once workers of 'scale' have described them")
    run.kill()
    check_left(late)


def test_a_run_that_ends_sends_even_an_impatient_worker_home_with_0(
    harness: Harness, redis_url: str, gate: Path
) -> None:
    gate.unlink()
    written = spec(harness, gate, 50)
    for wanted, number in ((130, signal.SIGINT), (0, None)):
        run = coordinator(harness, written, redis_url)
        sight = Sight(harness, redis_url)
        the_run(redis_url)
        workers = [worker(harness, redis_url, step, "--coordinator-timeout", "1") for step in STEPS]
        sight_of_work = "double" if number else "load"
        wait_for(lambda: any(harness.folder.glob("cache/*/*/run.json")), what="the run directory")
        sight.wait_for_results(sight_of_work, 3)
        if number:
            run.kill(number)
        assert run.wait(60) == wanted, run.text
        assert [one.wait(30) for one in workers] == [0, 0], [one.text for one in workers]
    check_rows(harness)


def test_local_workers_do_not_mind_a_coordinator_that_stands_still(
    harness: Harness, redis_url: str, gate: Path
) -> None:
    run = harness.start_run(spec(harness, gate, 50), "--broker", redis_url, COORDINATOR_TIMEOUT="0")
    wait_at_gate(gate)
    sight = Sight(harness, redis_url)
    process = psutil.Process(run.process.pid)
    process.suspend()
    gate.unlink()
    connection = sight.connect()
    lease = f"penstock:{{{sight.run_id}}}:lease"
    wait_for(lambda: not connection.command("EXISTS", lease), what="the end of the lease")
    sight.wait_for_results("double", 20)
    connection.close()
    process.resume()
    check_end(harness, run, [])
    check_rows(harness)


@pytest.mark.parametrize("seconds", ["-1", "soon"])
def test_a_timeout_that_is_none_is_refused(harness: Harness, redis_url: str, seconds: str) -> None:
    option = worker(harness, redis_url, "load", f"--coordinator-timeout={seconds}")
    setting = worker(harness, redis_url, "load", COORDINATOR_TIMEOUT=seconds)
    assert [option.wait(30), setting.wait(30)] == [2, 2]
    assert "Invalid value for '--coordinator-timeout'" in option.text
    assert re.search(rf"PENSTOCK_COORDINATOR_TIMEOUT={seconds}: Input should be", setting.text)
