"""Which run a worker joins, workers that cannot serve, and unsuitable brokers: each with its message."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.broker.connection import Connection
from common.broker.runs import RunRegistry
from tests.support.runs.harness import STEPS, Command, Harness, harnesses, wait_for
from tests.support.runs.hosts import MINE, SLOW, check_end, coordinator, run_ids, said, the_run, worker
from tests.support.runs.sight import Sight
from tests.support.servers.proxy import Proxy
from tests.support.servers.redis_server import RedisServer


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


# which run


def two_runs(harness: Harness, url: str, gate: Path) -> tuple[Command, ...]:
    """Two pipelines with the steps `load` and `double`, under way at one broker; the first one waits at the gate."""
    gated = SLOW.replace("mysteps:Double", "mysteps:Gated").replace("notes.txt", f'notes.txt, gate: "{gate}", at: 100')
    one = harness.write_spec(gated.replace("name: slow", "name: one"), "one.yaml")
    two = harness.write_spec(SLOW.replace("name: slow", "name: two").replace("rows: 400", "rows: 150"), "two.yaml")
    runs = tuple(coordinator(harness, spec, url, COORDINATOR_LEASE="30") for spec in (one, two))
    wait_for(lambda: len(run_ids(url)) == 2, what="two runs")
    return runs


def test_two_runs_at_one_broker_do_not_touch_each_other(harness: Harness, redis_url: str, gate: Path) -> None:
    one, two = two_runs(harness, redis_url, gate)
    first, _ = run_ids(redis_url)
    assert first.startswith("one-")
    workers_of_one = [worker(harness, redis_url, step, "--run", first) for step in ("load", "double")]
    workers_of_two = [worker(harness, redis_url, step, "--pipeline", "two") for step in ("load", "double")]
    assert two.wait(60) == 0, two.text
    assert [each.wait(30) for each in workers_of_two] == [0, 0]
    assert one.process.poll() is None
    gate.unlink()
    check_end(harness, one, workers_of_one)
    folders = {path.parent.parent.name: path.parent / "dataset" for path in harness.folder.glob("cache/*/*/run.json")}
    assert [row["n"] for row in harness.rows("double", folders["one"])] == list(range(400))
    assert [row["n"] for row in harness.rows("double", folders["two"])] == list(range(150))


def test_a_worker_that_several_runs_want_is_told_to_choose(harness: Harness, redis_url: str, gate: Path) -> None:
    two_runs(harness, redis_url, gate)
    for arguments, wanted in ((["--step", "load"], "step 'load'"), (["--all-steps"], "workers")):
        lost = harness.start("pipeline-worker", *arguments, "--broker", redis_url, *MINE)
        assert lost.wait(30) == 2
        listed = ", ".join(run_ids(redis_url))
        assert f"several runs need {wanted}: {listed}; choose one with --run RUN" in lost.text
        assert "Traceback" not in lost.text


def leave_behind(harness: Harness, url: str) -> str:
    """A run whose coordinator was killed, as the broker still shows it."""
    run = coordinator(harness, harness.write_spec(SLOW.replace("name: slow", "name: left"), "left.yaml"), url)
    run_id = the_run(url)
    registry = RunRegistry(Connection(url))
    wait_for(lambda: registry.status(run_id)[0] == "running", what="the run")
    run.kill()
    run.wait()
    wait_for(lambda: not registry.is_coordinated(run_id), what="the end of the lease")
    return run_id


def test_a_run_whose_coordinator_was_killed_does_not_keep_workers_from_another_one(
    harness: Harness, redis_url: str
) -> None:
    left = leave_behind(harness, redis_url)
    run = coordinator(harness, harness.write_spec(SLOW.replace("0.1", "0.0")), redis_url)
    wait_for(lambda: len(run_ids(redis_url)) == 2, what="the second run")
    said(run, "no worker for step 'load' yet")
    workers = [worker(harness, redis_url, step) for step in ("load", "double")]
    check_end(harness, run, workers)
    for one in workers:
        assert f"skipped: run '{left}' has no coordinator" in one.text


def test_a_step_that_the_run_does_not_have_is_refused_with_those_it_has(harness: Harness, redis_url: str) -> None:
    coordinator(harness, harness.write_spec(SLOW), redis_url)
    run_id = the_run(redis_url)
    lost = worker(harness, redis_url, "dubble", "--run", run_id)
    assert lost.wait(30) == 2
    assert f"run '{run_id}' has no step 'dubble'; its steps are: load, double; did you mean 'double'?" in lost.text


def test_a_step_that_no_run_has_is_refused_with_those_they_have_but_where_the_worker_stays(
    harness: Harness, redis_url: str, gate: Path
) -> None:
    two_runs(harness, redis_url, gate)
    staying = worker(harness, redis_url, "embed", "--stay")
    lost = worker(harness, redis_url, "embed")
    assert lost.wait(30) == 2
    each = [f"run '{run_id}' has no step 'embed'; its steps are: load, double" for run_id in run_ids(redis_url)]
    assert f"{'; '.join(each)} (--stay waits for a run with this step)" in lost.text
    said(staying, "waiting for a run that needs step 'embed'")
    assert staying.process.poll() is None


def test_runs_that_nobody_coordinates_do_not_keep_a_worker_from_waiting_for_its_own(
    harness: Harness, redis_url: str
) -> None:
    leave_behind(harness, redis_url)
    early = worker(harness, redis_url, "embed")
    said(early, "waiting for a run that needs step 'embed'")
    assert early.process.poll() is None


def test_a_worker_that_waits_says_for_what(harness: Harness, redis_url: str) -> None:
    coordinator(harness, harness.write_spec(SLOW), redis_url)
    the_run(redis_url)
    waits = {
        ("--step", "embed", "--stay"): "waiting for a run that needs step 'embed' at ",
        ("--step", "load", "--pipeline", "other"): "waiting for a run of 'other' that needs step 'load' at ",
        ("--step", "load", "--run", "gone-1"): "waiting for run 'gone-1' that needs step 'load' at ",
        ("--all-steps", "--pipeline", "other"): "waiting for a run of 'other' that needs workers at ",
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
    commands = [shlex.split(hint) for hint in re.findall(r"start one with: pipeline-worker (.*)", run.text)]
    assert [command[:4] for command in commands] == [["--step", step, "--run", run_id] for step in ("load", "double")]
    workers = [harness.start("pipeline-worker", *command) for command in commands]  # as they are written there
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
    assert "the source of Double on this host differs from the coordinator's" in wrong.text
    assert "Traceback" not in wrong.text
    said(run, "has left: step 'double': the source of Double on this host differs")
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
            assert "has maxmemory-policy allkeys-lru, so it would discard work when full" in command.text
            assert "CONFIG SET maxmemory-policy noeviction" in command.text
            assert "Traceback" not in command.text
        assert run_ids(server.url) == []


def test_a_broker_without_aof_is_warned_about_once(harness: Harness) -> None:
    spec = harness.write_spec(SLOW.replace("0.1", "0.0"))
    with RedisServer("--appendonly", "no") as server:
        run = coordinator(harness, spec, server.url)
        check_end(harness, run, [worker(harness, server.url, step) for step in ("load", "double")])
        assert run.text.count("writes no AOF (appendonly no)") == 1


def test_a_broker_whose_configuration_nobody_may_ask_for_is_judged_all_the_same(harness: Harness) -> None:
    spec = harness.write_spec(SLOW.replace("0.1", "0.0"))
    with RedisServer("--appendonly", "no", "--rename-command", "CONFIG", "") as server:
        run = coordinator(harness, spec, server.url)
        check_end(harness, run, [worker(harness, server.url, step) for step in ("load", "double")])
        assert run.text.count("writes no AOF") == 1
    with RedisServer("--maxmemory-policy", "volatile-ttl", "--rename-command", "CONFIG", "") as server:
        refused = coordinator(harness, spec, server.url, "--fresh")
        assert refused.wait(30) == 1
        assert "has maxmemory-policy volatile-ttl" in refused.text


def test_nothing_is_said_of_a_broker_with_an_aof(harness: Harness) -> None:
    spec = harness.write_spec(SLOW.replace("0.1", "0.0"))
    with RedisServer() as server:
        run = coordinator(harness, spec, server.url)
        check_end(harness, run, [worker(harness, server.url, step) for step in ("load", "double")])
        assert "AOF" not in run.text


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "unix:///tmp/there-is-no-such-penstock.sock"])
def test_a_broker_that_is_not_there_is_a_message_soon(harness: Harness, url: str) -> None:
    spec = harness.write_spec(SLOW)
    commands = [coordinator(harness, spec, url, PATIENCE="1"), worker(harness, url, "load", PATIENCE="1")]
    for command in commands:
        assert command.wait(30) == 1
        assert f"the broker at {url} cannot be reached" in command.text
        assert "Traceback" not in command.text
    assert harness.left_over() == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [  # what may be a password where something is misspelt is not shown
        ("redsi://localhost:6379", "redsi://localhost:6379"),
        ("localhost:6379", "***"),
        ("redis://localhost:63x79", "redis://localhost:***"),
    ],
)
def test_a_misspelt_url_is_a_message_at_once(harness: Harness, url: str, shown: str) -> None:
    spec = harness.write_spec(SLOW)
    for command in (coordinator(harness, spec, url), worker(harness, url, "load")):
        assert command.wait(30) == 2
        assert f"'{shown}' is not a broker's URL: " in command.text
        assert "Traceback" not in command.text


def test_a_broker_that_starts_a_little_late_is_waited_for(harness: Harness) -> None:
    spec = harness.write_spec(SLOW.replace("0.1", "0.0"))
    with RedisServer() as server:
        server.kill()
        run = coordinator(harness, spec, server.url)
        workers = [worker(harness, server.url, step) for step in ("load", "double")]
        server.start()
        check_end(harness, run, workers)


def test_a_broker_that_goes_away_while_a_run_begins_is_waited_for(harness: Harness) -> None:
    """The worker waits for a run meanwhile; the coordinator has just taken over, and does not know it."""
    spec = harness.write_spec(SLOW.replace("0.1", "0.0"))
    with RedisServer() as server, Proxy(server.url) as proxy:
        workers = [worker(harness, server.url, step) for step in ("load", "double")]
        for one in workers:
            said(one, "waiting for a run that needs step")
        server.kill()
        for one in workers:
            said(one, "; waiting for it")
        server.start()
        proxy.lose_reply(b'"directory"')
        run = coordinator(harness, spec, proxy.url)
        check_end(harness, run, workers)
        assert proxy.lost


def test_workers_and_coordinator_outlast_a_broker_that_is_restarted(harness: Harness) -> None:
    with RedisServer("--appendfsync", "always") as server:
        run = coordinator(harness, harness.write_spec(SLOW), server.url)
        workers = [worker(harness, server.url, step) for step in ("load", "double", "double")]
        Sight(harness, server.url).wait_for_results("double", 5)
        server.restart()
        check_end(harness, run, workers)
    assert [row["n"] for row in harness.rows("double")] == list(range(400))
