"""The view that a run publishes while it runs, and in the end."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from common.broker.connection import Connection
from common.broker.runs import RunRegistry
from common.broker.views import Views
from common.protocol.keys import Keys
from coordinator.view.view import RunView, StepView
from coordinator.view.view_codec import decode_point, decode_view
from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.servers.redis_server import RedisServer

SPEC = """
name: seen
steps:
  load: {{type: "mysteps:Count", rows: 60, batch_size: 10}}
  double: {{type: "mysteps:Gated", after: load, input_batch_size: 10, gate: "{gate}", at: 20}}
  keep: {{type: KeepColumns, after: double, input_batch_size: 20, columns: [n, double]}}
"""

FAILING = """
name: seen
steps:
  load: {type: "mysteps:Count", rows: 5}
  fail: {type: "failing_steps:Fragile", after: load, everything: true, retries: 0}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


@pytest.fixture
def connection() -> Iterator[Connection]:
    with RedisServer() as server, closing(Connection(server.url)) as connection:
        yield connection


def start(harness: Harness, connection: Connection, gate: Path) -> Command:
    spec = harness.write_spec(SPEC.format(gate=gate))
    return harness.start_run(spec, "--broker", connection.url, "--run-id", "seen-1")


def view_of(connection: Connection) -> RunView | None:
    published = Views(connection, "seen-1").read()
    return None if published is None else decode_view(published.message)


def step_of(connection: Connection, name: str) -> StepView | None:
    view = view_of(connection)
    return None if view is None else next(step for step in view.steps if step.name == name)


def at_the_gate(view: RunView | None) -> RunView | None:
    """The view, once all is done that can be before the gate opens."""
    if view is None:
        return None
    load, double, keep = view.steps
    is_there = load.is_done and double.rows_out == 20 and double.busy and keep.rows_out == 20 and not keep.busy
    return view if is_there else None


def test_a_run_shows_what_its_steps_and_workers_do_and_why_they_wait(
    harness: Harness, connection: Connection, gate: Path
) -> None:
    command = start(harness, connection, gate)
    view = wait_for(lambda: at_the_gate(view_of(connection)), 60, "the gate")
    assert (view.run_id, view.pipeline, view.status, view.state) == ("seen-1", "seen", "running", "running")
    assert (view.pid, view.epoch) == (command.process.pid, RunRegistry(connection).read("seen-1").epoch)  # type: ignore[union-attr]
    assert view.memory > 0
    load, double, keep = view.steps
    assert (load.is_done, load.rows_out, load.workers, load.waits_for) == (True, 60, 1, "")
    assert (double.batches_total, double.batches_done, double.in_flight > 0, double.waits_for) == (6, 2, True, "")
    assert (keep.rows_in, keep.batches_total, keep.waits_for) == (20, None, "rows of double")
    (worker,) = (worker for worker in view.workers if worker.step == "double")
    assert (worker.alive, worker.loaded, worker.in_hand > 0, worker.says) == (True, True, True, "")
    gate.unlink()
    assert command.wait() == 0, command.text


def test_who_looks_later_sees_that_a_run_is_complete(harness: Harness, connection: Connection, gate: Path) -> None:
    gate.unlink()
    command = start(harness, connection, gate)
    assert command.wait() == 0, command.text
    view = view_of(connection)
    assert view is not None
    assert (view.status, view.reason, view.rows_written) == ("complete", "", {"keep": 60})
    assert [(step.is_done, step.rows_out, step.waits_for) for step in view.steps] == [(True, 60, "")] * 3
    points = [decode_point(one.message) for one in Views(connection, "seen-1").history(1)]
    assert points
    assert points[-1].steps[2].rows_out == 60
    for key in Keys("seen-1").seen:
        assert connection.command("PTTL", key) > 0


def test_who_looks_later_sees_that_a_run_was_stopped(harness: Harness, connection: Connection, gate: Path) -> None:
    command = start(harness, connection, gate)
    wait_for(lambda: (step := step_of(connection, "double")) and step.rows_out == 20, what="the gate")
    stop = harness.start("pipeline-coordinator", "stop", "seen-1")
    assert stop.wait() == 0
    wait_for(lambda: (view := view_of(connection)) and view.state.startswith("stopping"), what="the stop")
    gate.unlink()
    assert command.wait() == 130, command.text
    view = view_of(connection)
    assert view is not None
    assert (view.status, view.reason) == ("stopped", "it was asked to stop")
    assert connection.command("PTTL", Keys("seen-1").view) == -1


def test_who_looks_later_sees_why_a_run_halted(harness: Harness, connection: Connection) -> None:
    spec = harness.write_spec(FAILING)
    command = harness.start_run(spec, "--broker", connection.url, "--run-id", "seen-1")
    assert command.wait() == 1, command.text
    view = view_of(connection)
    assert view is not None
    assert view.status == "halted"
    assert view.reason.startswith("step 'fail': ")


def test_a_run_that_may_not_publish_says_so_once_and_is_complete(
    harness: Harness, connection: Connection, gate: Path
) -> None:
    connection.command("SET", Keys("seen-1").history(1), "of somebody else")
    command = start(harness, connection, gate)
    wait_for(lambda: "its view cannot be published" in command.text, what="the word of it")
    gate.unlink()
    assert command.wait() == 0, command.text
    assert command.text.count("its view cannot be published") == 1
    assert len(harness.rows("keep")) == 60


def test_the_worker_that_status_names_joins_a_run_with_an_embedded_broker(harness: Harness, gate: Path) -> None:
    command = harness.start_run(harness.write_spec(SPEC.format(gate=gate)), "--run-id", "seen-1")
    wait_for(gate.with_suffix(".waiting").exists, 60, "the gate")
    asked = harness.start("pipeline-coordinator", "status", "seen-1")
    assert asked.wait() == 0
    (line,) = (line for line in asked.text.splitlines() if line.startswith("one more worker: "))
    program, *words = shlex.split(line.removeprefix("one more worker: "))
    assert words[:5] == ["--step", "double", "--run", "seen-1", "--broker"]
    assert words[5].startswith("unix://")
    worker = harness.start(program, *words)
    wait_for(lambda: worker.output.exists() and "worker" in worker.text, 60, "the worker")
    gate.unlink()
    assert command.wait() == 0, command.text
    assert worker.wait() == 0, worker.text
