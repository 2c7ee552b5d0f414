"""Workers started by hand, in any order and number: the same rows, whichever workers come and go."""

from __future__ import annotations

import itertools
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from common.broker.connection import Connection
from common.broker.runs import RunRegistry
from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.hosts import MINE, SLOW, SPEC, STEP_NAMES, check_end, coordinator, said, the_run, worker
from tests.support.runs.sight import Sight


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Identifies the rows of `SPEC`, and their order, in a run on an embedded broker."""
    for harness in harnesses(tmp_path_factory.mktemp("embedded")):
        code, said = harness.run(harness.write_spec(SPEC))
        assert code == 0, said
        assert [row["n"] for row in harness.rows("keep")] == list(range(1, 300, 2))
        digest = harness.digest("keep")
    return digest


# the same rows in the same order


@pytest.mark.parametrize("order", ["workers first", "coordinator first", "coordinator amid its workers"])
@pytest.mark.parametrize("number", [1, 3])
def test_the_rows_are_those_of_an_embedded_run(
    harness: Harness, redis_url: str, left_alone: str, order: str, number: int
) -> None:
    spec = harness.write_spec(SPEC)
    steps = list(STEP_NAMES) * number
    before = {"workers first": len(steps), "coordinator first": 0, "coordinator amid its workers": 2}[order]
    workers = [worker(harness, redis_url, step) for step in reversed(steps[:before])]
    for waiting in workers:
        said(waiting, "waiting for a run that needs step")
    run = coordinator(harness, spec, redis_url)
    workers += [worker(harness, redis_url, step) for step in steps[before:]]
    check_end(harness, run, workers)
    assert harness.digest("keep") == left_alone


@pytest.mark.parametrize("order", list(itertools.permutations(("load", "double", "coordinator"))), ids=" ".join)
def test_the_order_of_starting_is_no_matter(harness: Harness, redis_url: str, order: tuple[str, ...]) -> None:
    spec = harness.write_spec(SLOW.replace("0.1", "0.0"))
    started = {
        what: coordinator(harness, spec, redis_url) if what == "coordinator" else worker(harness, redis_url, what)
        for what in order
    }
    run = started.pop("coordinator")
    check_end(harness, run, list(started.values()))
    assert [row["double"] for row in harness.rows("double")] == [2 * n for n in range(400)]


def test_one_command_works_on_all_steps(harness: Harness, redis_url: str, left_alone: str) -> None:
    spec = harness.write_spec(SPEC.replace("seconds: 0.001", "seconds: 0.001, resources: {replicas: 2}"))
    all_steps = harness.start("pipeline-worker", "--all-steps", "--broker", redis_url, *MINE)
    said(all_steps, "waiting for a run that needs workers")
    run = coordinator(harness, spec, redis_url)
    said(all_steps, "step 'keep' loaded")
    wait_for(lambda: all_steps.text.count("step 'async' loaded") == 2, what="both replicas")
    check_end(harness, run, [all_steps])
    assert harness.digest("keep") == left_alone


def test_every_key_of_a_complete_run_expires(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, harness.write_spec(SPEC), redis_url)
    all_steps = harness.start("pipeline-worker", "--all-steps", "--broker", redis_url, *MINE)
    check_end(harness, run, [all_steps])
    connection = Connection(redis_url)
    keys = connection.command("KEYS", "*")
    staying = [key for key in keys if connection.command("PTTL", key) < 0]
    assert staying == [b"penstock:runs"]


# workers that join and leave


def test_workers_join_and_leave_in_mid_run(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, harness.write_spec(SLOW), redis_url)
    sight = Sight(harness, redis_url)
    load = worker(harness, redis_url, "load")
    first = worker(harness, redis_url, "double")
    sight.wait_for_results("double", 3)
    second = worker(harness, redis_url, "double")
    wait_for(lambda: len(sight.workers("double")) == 2, what="two workers")
    wait_for(lambda: pids_that_worked(harness) == {first.process.pid, second.process.pid}, 60, "work for both")
    first.kill(signal.SIGTERM)
    assert first.wait(20) == 0, first.text
    done = sight.results("double")
    assert done < 40, "it left in mid-run"
    assert first.process.pid not in [process.pid for process in sight.workers("double")]
    check_end(harness, run, [load, second])
    assert [row["n"] for row in harness.rows("double")] == list(range(400))
    assert sorted(rows_that_ran(harness)) == list(range(400)), "unstarted batches were handed back, not run twice"


@pytest.mark.parametrize("kind", ["load", "double", "async"])
def test_a_worker_that_is_told_to_leave_finishes_what_it_has_begun(harness: Harness, redis_url: str, kind: str) -> None:
    spec = harness.write_spec("""
name: leaving
steps:
  load: {type: "mysteps:Count", rows: 300, batch_size: 10, seconds: 0.03}
  double: {type: "mysteps:Double", after: load, input_batch_size: 10, seconds: 0.06, output_mappings: {double: two}}
  async: {type: "mysteps:DoubleAsync", after: double, input_batch_size: 10, concurrency: 10, seconds: 0.06}
""")
    run = coordinator(harness, spec, redis_url)
    workers = {step: worker(harness, redis_url, step) for step in ("load", "double", "async")}
    sight = Sight(harness, redis_url)
    sight.wait_for_results(kind, 4)
    wait_for(lambda: sight.in_hand(kind), what="a batch in hand")
    leaving = workers.pop(kind)
    leaving.kill(signal.SIGTERM)
    assert leaving.wait(20) == 0, leaving.text
    assert sight.in_hand(kind) == 0, "handed back, so that nobody waits for its lease"
    assert sight.results(kind) < 30
    said(run, f"no worker for step '{kind}' yet; start one with: pipeline-worker --step {kind} --run ")
    workers["another"] = worker(harness, redis_url, kind)
    check_end(harness, run, list(workers.values()))
    assert [row["n"] for row in harness.rows("async")] == list(range(300))
    assert "Traceback" not in leaving.text


def test_a_second_signal_ends_a_worker_at_once_and_nothing_is_lost(harness: Harness, redis_url: str) -> None:
    gate = harness.folder / "gate"
    gate.touch()
    spec = harness.write_spec(f"""
name: gated
steps:
  load: {{type: "mysteps:Count", rows: 40, batch_size: 10}}
  gated: {{type: "mysteps:Gated", after: load, input_batch_size: 10, gate: "{gate}", at: 10}}
""")
    run = coordinator(harness, spec, redis_url)
    load, gated = worker(harness, redis_url, "load"), worker(harness, redis_url, "gated")
    wait_for(gate.with_suffix(".waiting").exists, 60, "the batch that takes long")
    gated.kill(signal.SIGTERM)
    gated.kill(signal.SIGINT)
    assert gated.wait(10) == 130
    gate.unlink()
    check_end(harness, run, [load, worker(harness, redis_url, "gated")])
    assert [row["n"] for row in harness.rows("gated")] == list(range(40))


def test_a_worker_that_waits_for_a_run_leaves_when_told_to(harness: Harness, redis_url: str) -> None:
    for arguments in (("--step", "load"), ("--all-steps",)):
        waiting = harness.start("pipeline-worker", *arguments, "--broker", redis_url)
        said(waiting, "waiting for a run")
        waiting.kill(signal.SIGTERM)
        assert waiting.wait(20) == 0
    assert harness.left_over() == []


def test_all_steps_leave_together_when_told_to(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, harness.write_spec(SLOW), redis_url)
    all_steps = harness.start("pipeline-worker", "--all-steps", "--broker", redis_url, *MINE)
    Sight(harness, redis_url).wait_for_results("double", 3)
    workers = psutil.Process(all_steps.process.pid).children(recursive=True)
    all_steps.kill(signal.SIGTERM)
    assert all_steps.wait(20) == 0, all_steps.text
    assert psutil.wait_procs(workers, 10)[1] == []
    check_end(harness, run, [harness.start("pipeline-worker", "--all-steps", "--broker", redis_url, *MINE)])
    assert [row["n"] for row in harness.rows("double")] == list(range(400))


def test_a_worker_that_is_killed_is_replaced_by_those_that_are_left(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, harness.write_spec(SLOW), redis_url)
    load = worker(harness, redis_url, "load")
    first, second = worker(harness, redis_url, "double"), worker(harness, redis_url, "double")
    wait_for(lambda: pids_that_worked(harness) == {first.process.pid, second.process.pid}, 60, "work for both")
    first.kill()
    check_end(harness, run, [load, second])
    assert [row["n"] for row in harness.rows("double")] == list(range(400))


def test_workers_stay_when_their_coordinator_dies_and_work_for_the_next_one(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(SLOW)
    run = coordinator(harness, spec, redis_url)
    workers = [worker(harness, redis_url, step) for step in ("load", "double")]
    sight = Sight(harness, redis_url)
    sight.wait_for_results("double", 4)
    run.kill()
    run.wait(10)
    following = coordinator(harness, spec, redis_url, STARTING_HINT="0.2")
    check_end(harness, following, workers)
    assert "no worker for step" not in following.text, "they were there all the time"
    assert [row["n"] for row in harness.rows("double")] == list(range(400))
    assert sorted(rows_that_ran(harness)) == list(range(400))


def test_workers_leave_with_a_run_that_is_stopped_and_come_back_with_it(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(SLOW)
    run = coordinator(harness, spec, redis_url)
    workers = [worker(harness, redis_url, step) for step in ("load", "double")]
    Sight(harness, redis_url).wait_for_results("double", 4)
    run.kill(signal.SIGINT)
    assert run.wait(30) == 130, run.text
    assert [one.wait(30) for one in workers] == [0, 0]
    again = [worker(harness, redis_url, step) for step in ("double", "load")]
    for one in again:
        said(one, "waiting for a run that needs step")
    check_end(harness, coordinator(harness, spec, redis_url), again)
    assert [row["n"] for row in harness.rows("double")] == list(range(400))
    assert sorted(rows_that_ran(harness)) == list(range(400))


def test_a_worker_does_no_batch_of_a_run_that_was_begun_anew(harness: Harness, redis_url: str) -> None:
    gate = harness.folder / "gate"
    gate.touch()
    text = f"""
name: gated
steps:
  load: {{type: "mysteps:Count", rows: 40, batch_size: 10}}
  gated: {{type: "mysteps:Gated", after: load, input_batch_size: 10, gate: "{gate}", at: 0}}
"""
    run = coordinator(harness, harness.write_spec(text), redis_url, "--run-id", "mine")
    workers = [worker(harness, redis_url, step) for step in ("load", "gated")]
    wait_for(gate.with_suffix(".waiting").exists, 60, "the batch that takes long")
    run.kill()
    registry = RunRegistry(Connection(redis_url))
    wait_for(lambda: not registry.is_coordinated("mine"), what="the end of its lease")
    anew = harness.write_spec(text.replace("at: 0", "at: 0, output_mappings: {double: twice}"))
    following = coordinator(harness, anew, redis_url, "--run-id", "mine", "--fresh", "--output", harness.folder / "new")
    assert workers[0].wait(60) in (0, 1), workers[0].text
    load = worker(harness, redis_url, "load")
    wait_for(lambda: registry.waiting("mine", ["gated"])["gated"], 60, "a batch of the new run")
    gate.unlink()
    assert {one.wait(60) for one in workers} <= {0, 1}
    check_end(harness, following, [load, worker(harness, redis_url, "gated")])
    assert [row["twice"] for row in harness.rows("gated", harness.folder / "new")] == [2 * n for n in range(40)]


def notes(harness: Harness) -> list[tuple[int, int]]:
    """(process, row) for each row that `double` ran."""
    try:
        lines = (harness.folder / "notes.txt").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [(int(pid), int(n)) for pid, n in (line.split() for line in lines if re.fullmatch(r"\d+ \d+", line))]


def pids_that_worked(harness: Harness) -> set[int]:
    return {pid for pid, _ in notes(harness)}


def rows_that_ran(harness: Harness) -> list[int]:
    return [n for _, n in notes(harness)]


def test_a_worker_of_another_version_cannot_serve_the_run_and_does_no_harm(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, harness.write_spec(SPEC), redis_url)
    other = "import common.protocol.wire\ncommon.protocol.wire.PROTOCOL += 1\nfrom worker.cli import main\nmain()\n"
    arguments = ("--step", "double", "--run", the_run(redis_url), "--broker", redis_url, *MINE)
    code, text = harness.run_script(other, *arguments)
    assert code == 78, text
    assert "this version has protocol" in text
    check_end(harness, run, [worker(harness, redis_url, step) for step in STEP_NAMES])
