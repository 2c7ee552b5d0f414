"""Workers started by hand, at any broker: whenever, wherever, however many, the rows are those of an embedded run."""

from __future__ import annotations

import itertools
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from common.broker.connection import Connection
from common.broker.runs import RunRegistry
from tests.integration.harness import STEPS, Command, Harness, harnesses, wait_for
from tests.integration.sight import Sight
from tests.redis_server import RedisServer

STEP_NAMES = ("load", "odd", "double", "async", "keep")
SPEC = """
name: shared
steps:
  load: {type: "mysteps:Count", rows: 300, batch_size: 7}
  odd: {type: "mysteps:KeepOdd", after: load, input_batch_size: 10}
  double: {type: "mysteps:Double", after: odd, input_batch_size: 9, output_mappings: {double: two}}
  async: {type: "mysteps:DoubleAsync", after: double, input_batch_size: 8, seconds: 0.001}
  keep: {type: KeepColumns, after: async, input_batch_size: 11, columns: [n, two, double]}
"""
SLOW = """
name: slow
steps:
  load: {type: "mysteps:Count", rows: 400, batch_size: 10}
  double: {type: "mysteps:Double", after: load, input_batch_size: 10, seconds: 0.1, notes: notes.txt}
"""
MINE = ("--allow", "mysteps", "--base-dir", ".")


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


def coordinator(harness: Harness, spec: Path, url: str, *arguments: str, **settings: str) -> Command:
    return harness.start_run(spec, "--broker", url, "--workers", "external", *arguments, **settings)


def worker(harness: Harness, url: str, step: str, *arguments: str, **settings: str) -> Command:
    return harness.start("pipeline-worker", "--step", step, "--broker", url, *MINE, *arguments, **settings)


def said(command: Command, text: str) -> None:
    """Waits until the command has printed something."""
    wait_for(lambda: text in command.text, 60, f"'{text}' from {command.output.name}")


def check_end(harness: Harness, run: Command, workers: Sequence[Command]) -> None:
    """The run completes, its workers leave with 0, and nothing is left."""
    assert run.wait(100) == 0, run.text
    assert [one.wait(30) for one in workers] == [0] * len(workers), [one.text for one in workers]
    assert harness.processes() == []


def run_ids(url: str) -> list[str]:
    return RunRegistry(Connection(url)).run_ids()


def the_run(url: str) -> str:
    (run_id,) = wait_for(lambda: run_ids(url), what="the run")
    return run_id


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
        said(waiting, "waiting for a run that wants step")
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
    said(all_steps, "waiting for a run that wants workers")
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


# who comes and goes


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
    assert sorted(rows_that_ran(harness)) == list(range(400)), "what was not begun was handed back, not run twice"


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
    said(run, f"no worker for step '{kind}' yet; start one with: pipeline-worker --step {kind} --broker")
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
    assert harness.processes() == []


def test_all_steps_leave_together_when_told_to(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, harness.write_spec(SLOW), redis_url)
    all_steps = harness.start("pipeline-worker", "--all-steps", "--broker", redis_url, *MINE)
    Sight(harness, redis_url).wait_for_results("double", 3)
    all_steps.kill(signal.SIGTERM)
    assert all_steps.wait(20) == 0, all_steps.text
    assert [one.pid for one in harness.processes() if "worker." in " ".join(one.cmdline())] == []
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
        said(one, "waiting for a run that wants step")
    check_end(harness, coordinator(harness, spec, redis_url), again)
    assert [row["n"] for row in harness.rows("double")] == list(range(400))
    assert sorted(rows_that_ran(harness)) == list(range(400))


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


# which run


def two_runs(harness: Harness, url: str) -> tuple[Command, Command]:
    """Two pipelines with the steps `load` and `double`, under way at one broker."""
    one = harness.write_spec(SLOW.replace("name: slow", "name: one"), "one.yaml")
    two = harness.write_spec(SLOW.replace("name: slow", "name: two").replace("rows: 400", "rows: 150"), "two.yaml")
    runs = coordinator(harness, one, url), coordinator(harness, two, url)
    wait_for(lambda: len(run_ids(url)) == 2, what="two runs")
    return runs


def test_two_runs_at_one_broker_do_not_touch_each_other(harness: Harness, redis_url: str) -> None:
    one, two = two_runs(harness, redis_url)
    first, _ = run_ids(redis_url)
    assert first.startswith("one-")
    workers_of_one = [worker(harness, redis_url, step, "--run", first) for step in ("load", "double")]
    workers_of_two = [worker(harness, redis_url, step, "--pipeline", "two") for step in ("load", "double")]
    assert two.wait(60) == 0, two.text
    assert [each.wait(30) for each in workers_of_two] == [0, 0]
    assert one.process.poll() is None
    check_end(harness, one, workers_of_one)
    folders = {path.parent.parent.name: path.parent / "dataset" for path in harness.folder.glob("cache/*/*/run.json")}
    assert [row["n"] for row in harness.rows("double", folders["one"])] == list(range(400))
    assert [row["n"] for row in harness.rows("double", folders["two"])] == list(range(150))


def test_a_worker_that_several_runs_want_is_told_to_choose(harness: Harness, redis_url: str) -> None:
    two_runs(harness, redis_url)
    for arguments, wanted in ((["--step", "load"], "step 'load'"), (["--all-steps"], "workers")):
        lost = harness.start("pipeline-worker", *arguments, "--broker", redis_url, *MINE)
        assert lost.wait(30) == 2
        listed = ", ".join(run_ids(redis_url))
        assert f"several runs want {wanted}: {listed}; choose one with --run RUN" in lost.text
        assert "Traceback" not in lost.text


def test_a_step_that_the_run_does_not_have_is_refused_with_those_it_has(harness: Harness, redis_url: str) -> None:
    coordinator(harness, harness.write_spec(SLOW), redis_url)
    run_id = the_run(redis_url)
    lost = worker(harness, redis_url, "dubble", "--run", run_id)
    assert lost.wait(30) == 2
    assert f"run '{run_id}' has no step 'dubble'; its steps are: load, double" in lost.text


def test_a_worker_that_waits_says_for_what(harness: Harness, redis_url: str) -> None:
    coordinator(harness, harness.write_spec(SLOW), redis_url)
    the_run(redis_url)
    waits = {
        ("--step", "embed"): "waiting for a run that wants step 'embed' at ",
        ("--step", "load", "--pipeline", "other"): "waiting for a run of 'other' that wants step 'load' at ",
        ("--step", "load", "--run", "gone-1"): "waiting for run 'gone-1' that wants step 'load' at ",
        ("--all-steps", "--pipeline", "other"): "waiting for a run of 'other' that wants workers at ",
    }
    waiting = {text: harness.start("pipeline-worker", *args, "--broker", redis_url) for args, text in waits.items()}
    for text, command in waiting.items():
        said(command, text + redis_url)
    assert [command.process.poll() for command in waiting.values()] == [None] * 4


def test_the_coordinator_says_what_it_waits_for(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, harness.write_spec(SLOW.replace("0.1", "0.0")), redis_url, STARTING_HINT="0.3")
    run_id = the_run(redis_url)
    for step in ("load", "double"):
        said(run, f"no worker for step '{step}' yet; start one with: ")
    commands = re.findall(r"start one with: pipeline-worker (.*)", run.text)
    assert commands == [f"--step {step} --broker {redis_url} --run {run_id}" for step in ("load", "double")]
    workers = [harness.start("pipeline-worker", *command.split(), *MINE) for command in commands]
    check_end(harness, run, workers)
    assert run.text.count("no worker for step") == 2


# workers that cannot serve


def test_a_worker_with_another_source_leaves_and_the_run_goes_on_with_the_right_one(
    harness: Harness, redis_url: str
) -> None:
    run = coordinator(harness, harness.write_spec(SLOW.replace("0.1", "0.0")), redis_url)
    other_host = harness.folder / "other"
    other_host.mkdir()
    (other_host / "mysteps.py").write_text(STEPS.read_text().replace('2 * row["n"]', '3 * row["n"]'))
    load = worker(harness, redis_url, "load")
    arguments = ("--step", "double", "--broker", redis_url, "--allow", "mysteps", "--base-dir", "other")
    wrong = harness.start("pipeline-worker", *arguments)
    assert wrong.wait(30) == 78
    assert "this host has another source of Double than the coordinator" in wrong.text
    assert "Traceback" not in wrong.text
    said(run, "has left: step 'double': this host has another source of Double")
    check_end(harness, run, [load, worker(harness, redis_url, "double")])
    assert [row["double"] for row in harness.rows("double")] == [2 * n for n in range(400)]


def test_a_worker_that_is_not_allowed_to_import_the_step_leaves_and_says_how_to_allow_it(
    harness: Harness, redis_url: str
) -> None:
    run = coordinator(harness, harness.write_spec(SLOW.replace("0.1", "0.0")), redis_url)
    load = worker(harness, redis_url, "load")
    wrong = harness.start("pipeline-worker", "--step", "double", "--broker", redis_url, "--base-dir", ".")
    assert wrong.wait(30) == 78
    assert "'mysteps:Double' is not allowed here; to let this process import it: --allow mysteps" in wrong.text
    said(run, "'mysteps:Double' is not allowed here")
    check_end(harness, run, [load, worker(harness, redis_url, "double")])


def test_a_worker_without_the_module_leaves_and_says_what_is_missing(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, harness.write_spec(SLOW.replace("0.1", "0.0")), redis_url)
    empty = harness.folder / "empty"
    empty.mkdir()
    arguments = ("--step", "double", "--broker", redis_url, "--allow", "mysteps", "--base-dir", "empty")
    wrong = harness.start("pipeline-worker", *arguments)
    assert wrong.wait(30) == 78
    assert "the module 'mysteps' of 'mysteps:Double' was not found" in wrong.text
    check_end(harness, run, [worker(harness, redis_url, step) for step in ("load", "double")])


def test_an_external_worker_that_cannot_serve_does_not_end_a_run_with_local_workers(
    harness: Harness, redis_url: str
) -> None:
    spec = harness.write_spec(SLOW.replace("0.1", "0.01"))
    wrong = harness.start("pipeline-worker", "--step", "double", "--broker", redis_url)
    said(wrong, "waiting for a run")
    run = harness.start_run(spec, "--broker", redis_url)
    assert wrong.wait(30) == 78
    check_end(harness, run, [])
    assert [row["n"] for row in harness.rows("double")] == list(range(400))


# brokers


def test_a_broker_that_evicts_is_refused_in_words(harness: Harness) -> None:
    spec = harness.write_spec(SLOW)
    with RedisServer("--maxmemory-policy", "allkeys-lru") as server:
        run = coordinator(harness, spec, server.url)
        lost = worker(harness, server.url, "load")
        for command in (run, lost):
            assert command.wait(30) == 1
            assert "has maxmemory-policy allkeys-lru, so it would throw work away when it is full" in command.text
            assert "CONFIG SET maxmemory-policy noeviction" in command.text
            assert "Traceback" not in command.text
        assert run_ids(server.url) == []


def test_a_broker_without_aof_is_warned_about_once(harness: Harness) -> None:
    spec = harness.write_spec(SLOW.replace("0.1", "0.0"))
    with RedisServer("--appendonly", "no") as server:
        run = coordinator(harness, spec, server.url)
        check_end(harness, run, [worker(harness, server.url, step) for step in ("load", "double")])
        assert run.text.count("keeps nothing on disk (no AOF)") == 1


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "unix:///tmp/there-is-no-such-penstock.sock"])
def test_a_broker_that_is_not_there_is_a_message_soon(harness: Harness, url: str) -> None:
    spec = harness.write_spec(SLOW)
    commands = [coordinator(harness, spec, url, PATIENCE="1"), worker(harness, url, "load", PATIENCE="1")]
    for command in commands:
        assert command.wait(30) == 1
        assert f"the broker at {url} cannot be reached" in command.text
        assert "Traceback" not in command.text
    assert harness.processes() == []


@pytest.mark.parametrize("url", ["redsi://localhost:6379", "localhost:6379", "redis://localhost:63x79"])
def test_a_misspelt_url_is_a_message_at_once(harness: Harness, url: str) -> None:
    spec = harness.write_spec(SLOW)
    for command in (coordinator(harness, spec, url), worker(harness, url, "load")):
        assert command.wait(30) == 2
        assert f"'{url}' is not a broker's URL" in command.text
        assert "Traceback" not in command.text


def test_a_broker_that_starts_a_little_late_is_waited_for(harness: Harness) -> None:
    spec = harness.write_spec(SLOW.replace("0.1", "0.0"))
    with RedisServer() as server:
        server.kill()
        run = coordinator(harness, spec, server.url)
        workers = [worker(harness, server.url, step) for step in ("load", "double")]
        server.start()
        check_end(harness, run, workers)


def test_workers_and_coordinator_outlast_a_broker_that_is_restarted(harness: Harness) -> None:
    with RedisServer("--appendfsync", "always") as server:
        run = coordinator(harness, harness.write_spec(SLOW), server.url)
        workers = [worker(harness, server.url, step) for step in ("load", "double", "double")]
        Sight(harness, server.url).wait_for_results("double", 5)
        server.restart()
        check_end(harness, run, workers)
    assert [row["n"] for row in harness.rows("double")] == list(range(400))
