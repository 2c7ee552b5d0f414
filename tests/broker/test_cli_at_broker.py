"""`pipeline-coordinator` asks a broker: runs, status, stop, rm and gc of runs whose directory is elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from common.broker.connection import Connection
from common.broker.control import Control
from common.broker.runs import RunRegistry
from common.broker.views import Views
from common.protocol.holder import Holder
from common.protocol.keys import Keys
from common.protocol.wire import PROTOCOL
from coordinator.cli import group
from coordinator.runs.run_directory import RunDirectory, RunRecord
from coordinator.view.view import RunView, StepView, WorkerView
from coordinator.view.view_codec import encode_view
from tests.support.runs.roles import Roles, users
from tests.support.servers.redis_server import RedisServer

SPEC = {"name": "demo", "steps": {"load": {"type": "LoadDataFromDicts"}, "keep": {"type": "KeepColumns"}}}


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("PENSTOCK_BROKER_URL", raising=False)


@pytest.fixture
def connection(redis_url: str) -> Iterator[Connection]:
    with closing(Connection(redis_url)) as connection:
        yield connection


def call(*arguments: object) -> Result:
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


def begin(connection: Connection, run_id: str) -> Control:
    """A run that a coordinator on another host has begun."""
    control = Control(connection, run_id, Holder(4711, "gpu-2", "t"), 30.0)
    control.take_over()
    control.update(protocol=PROTOCOL, pipeline="demo", spec=json.dumps(SPEC), status="running")
    control.ensure_groups(list(SPEC["steps"]))
    connection.command("XADD", Keys(run_id).journal, "1-0", "m", b"x")
    RunRegistry(connection).add(run_id)
    return control


def test_runs_lists_what_the_broker_knows(connection: Connection) -> None:
    begin(connection, "demo-1")
    begin(connection, "demo-2").resign()
    begin(connection, "demo-3").finish("complete", list(SPEC["steps"]))
    lines = [line.split() for line in call("runs", "--broker", connection.url).output.splitlines()]
    assert lines[-3:] == [
        ["demo-1", "demo", "running", "-", "-", "broker"],
        ["demo-2", "demo", "interrupted", "-", "-", "broker"],
        ["demo-3", "demo", "complete", "-", "-", "broker"],
    ]


def test_of_several_runs_of_a_pipeline_status_shows_the_one_in_progress(connection: Connection) -> None:
    begin(connection, "demo-1").update(begun="2026-01-02T03:04:05+00:00")
    ended = begin(connection, "other-id")
    ended.update(begun="2026-02-03T04:05:06+00:00")
    ended.resign()
    result = call("status", "demo", "--broker", connection.url)
    assert result.exit_code == 0
    assert "'demo' has 2 runs; taking demo-1, which is in progress; " in result.stderr
    assert "give its id: other-id\n" in result.stderr
    RunRegistry(connection).ask_to_stop("demo-1")
    connection.command("DEL", Keys("demo-1").lease)
    assert "taking other-id, the newest one" in call("status", "demo", "--broker", connection.url).stderr


def test_status_shows_coordinator_steps_and_workers(connection: Connection) -> None:
    begin(connection, "demo-1")
    facts = {"step": "keep", "host": "gpu-7", "pid": 1, "loaded": 1}
    connection.command("HSET", Keys("demo-1").workers, "ab12", json.dumps(facts))
    connection.command("SET", Keys("demo-1").worker("ab12"), "1")
    output = call("status", "demo-1", "--broker", connection.url).output
    assert "running, coordinated by process 4711 on gpu-2" in output
    assert ["keep", "0", "-", "1", "gpu-7"] in [line.split() for line in output.splitlines()]


def publish(control: Control, connection: Connection, message: bytes) -> None:
    assert Views(connection, control.keys.run_id).publish(control.epoch, message, b"", [1])


def view_of(run_id: str) -> RunView:
    load = StepView("load", "generator", 40, 40, 40, 0, 2_000, 0, 0, 0, 0, 0, 0, 1.0)
    busy = StepView("keep", "step", 31, 40, None, 1_570, 1_550, 20, 0, 4, 5, 1, 1, 9.0, 1, 48.6)
    worker = WorkerView("ab12", "keep", "gpu-7", alive=True, loaded=True, in_hand=2)
    idle = replace(busy, name="after", rows_out=0, waits_for="a worker", rows_per_second=None)
    steps = (load, busy, idle)
    return RunView(run_id, "running", 93.0, 12_300_000, {}, steps, workers=(worker,), memory=2**20, seconds_left=90.0)


def test_status_shows_what_the_coordinator_has_published(connection: Connection) -> None:
    publish(begin(connection, "demo-1"), connection, encode_view(view_of("demo-1")))
    result = call("status", "demo-1", "--broker", connection.url)
    lines = [line.split() for line in result.output.splitlines()]
    assert ["load", "40/40", "2,000", "-", "-", "-", "-", "0"] in lines
    assert ["keep", "31/40+", "1,550", "49", "20", "4", "5", "1+1", "gpu-7"] in lines
    assert any(line[:1] == ["after"] and line[-4:] == ["waits", "for", "a", "worker"] for line in lines)
    assert " ago: running, 1 min 33 s at work, about 2 min left" in result.output
    assert "12.3 MB of payloads" in result.output
    assert "one more worker" not in result.output


def test_status_of_a_run_that_is_asked_to_stop_does_not_say_that_it_loads(connection: Connection) -> None:
    view = replace(view_of("demo-1"), state="loading steps 0/2")
    publish(begin(connection, "demo-1"), connection, encode_view(view))
    assert "ago: loading steps 0/2, " in call("status", "demo-1", "--broker", connection.url).output
    RunRegistry(connection).ask_to_stop("demo-1")
    output = call("status", "demo-1", "--broker", connection.url).output
    assert "ago: stopping, " in output
    assert "loading steps" not in output


def test_status_for_a_user_without_the_clock_names_the_permission_and_shows_what_the_broker_knows(
    roles: Roles,
) -> None:
    with closing(Connection(roles.url)) as connection:
        publish(begin(connection, "demo-1"), connection, encode_view(view_of("demo-1")))
    user = users()["dashboard"]
    roles.set(user, [rule for rule in user.rules if rule != "+time"])
    result = call("status", "demo-1", "--broker", roles.url_of("dashboard"))
    assert result.exit_code == 0, result.output
    assert "the user needs +time (docs/security.md lists the permissions that users need)" in result.stderr
    assert ["keep", "0", "-", "0"] in [line.split() for line in result.stdout.splitlines()]


def test_status_shows_what_was_seen_last_of_a_run_whose_coordinator_has_ended(connection: Connection) -> None:
    control = begin(connection, "demo-1")
    publish(control, connection, encode_view(view_of("demo-1")))
    control.resign()
    connection.command("HINCRBY", control.keys.view, "at", -3_600_000)
    output = call("status", "demo-1", "--broker", connection.url).output
    assert "interrupted: its coordinator has ended" in output
    assert "1 h 00 min ago: running, 1 min 33 s at work\n" in output
    assert "31/40+" in output


@pytest.mark.parametrize(
    ("message", "said"), [(b"\x92\x07\x80", "is in version 7"), (b"x", "is not what a coordinator writes")]
)
def test_status_counts_by_itself_where_a_view_cannot_be_read(connection: Connection, message: bytes, said: str) -> None:
    publish(begin(connection, "demo-1"), connection, message)
    result = call("status", "demo-1", "--broker", connection.url)
    assert result.exit_code == 0
    assert said in result.stderr
    assert ["keep", "0", "-", "0"] in [line.split() for line in result.stdout.splitlines()]


def test_stop_asks_through_the_broker(connection: Connection) -> None:
    control = begin(connection, "demo-1")
    result = call("stop", "demo", "--broker", connection.url)
    assert result.exit_code == 0
    assert "Asked process 4711 on gpu-2 to stop demo-1" in result.output
    assert control.want() == "stop"


def test_stop_leaves_no_wish_behind_where_nobody_coordinates(connection: Connection) -> None:
    control = begin(connection, "demo-1")
    control.resign()
    assert "demo-1 is not running" in call("stop", "demo", "--broker", connection.url).output
    assert control.want() == ""


def test_rm_refuses_while_a_coordinator_is_alive_and_removes_every_key_after(connection: Connection) -> None:
    control = begin(connection, "demo-1")
    begin(connection, "demo-10")
    refused = call("rm", "demo-1", "--broker", connection.url)
    assert refused.exit_code == 75
    assert "stop it with: pipeline-coordinator stop demo-1" in refused.stderr
    control.resign()
    assert call("rm", "demo-1", "--broker", connection.url).exit_code == 0
    assert connection.command("KEYS", "penstock:{demo-1}:*") == []
    assert RunRegistry(connection).run_ids() == ["demo-10"]
    assert connection.command("EXISTS", Keys("demo-10").run) == 1


def test_gc_takes_complete_runs_and_unfinished_ones_only_when_told_to(connection: Connection) -> None:
    begin(connection, "demo-alive")
    begin(connection, "demo-dead").resign()
    begin(connection, "demo-done").finish("complete", list(SPEC["steps"]))
    assert call("gc", "--broker", connection.url).output == "Nothing to remove.\n"
    assert call("gc", "--older-than", "0s", "--dry-run", "--broker", connection.url).exit_code == 0
    assert len(RunRegistry(connection).run_ids()) == 3
    call("gc", "--older-than", "0s", "--broker", connection.url)
    assert RunRegistry(connection).run_ids() == ["demo-alive", "demo-dead"]
    call("gc", "--older-than", "0s", "--unfinished", "--broker", connection.url)
    assert RunRegistry(connection).run_ids() == ["demo-alive"]


@pytest.mark.parametrize("key", ["run", "lease"])
def test_gc_passes_over_a_run_whose_keys_something_else_has_written(connection: Connection, key: str) -> None:
    for run_id in ("demo-1", "demo-2", "demo-3"):
        begin(connection, run_id).finish("complete", list(SPEC["steps"]))
    written = getattr(Keys("demo-2"), key)
    connection.command("DEL", written)
    connection.command("RPUSH", written, "x")
    result = call("gc", "--older-than", "0s", "--broker", connection.url)
    assert result.exit_code == 0
    assert f"kept demo-2: the broker at {connection.url} answered to " in result.stderr
    assert f"{written}: WRONGTYPE" in result.stderr
    assert "remove it with: pipeline-coordinator rm demo-2" in result.stderr
    assert "--fresh" not in result.stderr
    assert RunRegistry(connection).run_ids() == ["demo-2"]
    assert call("rm", "demo-2", "--broker", connection.url).exit_code == 0
    assert connection.command("KEYS", "penstock:{demo-*") == []


def make_directory(tmp_path: Path, broker: str | None) -> RunDirectory:
    directory = RunDirectory.of(tmp_path / "cache", "demo", "1")
    with directory:
        directory.write(RunRecord(run="demo-1", pipeline="demo", signature="1", status="stopped", broker=broker))
    return directory


def test_rm_removes_directory_and_keys_together(connection: Connection, tmp_path: Path) -> None:
    begin(connection, "demo-1").resign()
    directory = make_directory(tmp_path, connection.url)
    assert call("rm", "demo-1").exit_code == 0
    assert not directory.path.exists()
    assert connection.command("KEYS", "penstock:{demo-1}:*") == []


def test_a_run_stays_with_its_own_broker_when_another_one_is_named(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(connection, "demo-1").resign()
    make_directory(tmp_path, connection.url)
    with RedisServer() as other:
        monkeypatch.setenv("PENSTOCK_BROKER_URL", other.url)
        assert call("rm", "demo-1").exit_code == 0
    assert connection.command("KEYS", "penstock:{demo-1}:*") == []


def test_rm_removes_nothing_while_the_keys_cannot_be_reached(tmp_path: Path) -> None:
    directory = make_directory(tmp_path, f"unix://{tmp_path}/none.sock")
    result = call("rm", "demo-1")
    assert result.exit_code == 1
    assert "so nothing was removed" in result.stderr
    assert directory.path.exists()


def test_a_run_whose_broker_wants_a_password_says_how_to_give_it(tmp_path: Path) -> None:
    make_directory(tmp_path, "redis://me:hunter2@127.0.0.1:1/0")
    result = call("status", "demo-1")
    assert result.exit_code == 2
    assert "pass --broker URL, or set PENSTOCK_BROKER_URL" in result.stderr
    assert "hunter2" not in result.stderr


def test_status_of_a_run_here_does_without_a_broker_that_is_down(tmp_path: Path) -> None:
    make_directory(tmp_path, f"unix://{tmp_path}/none.sock")
    result = call("status", "demo-1")
    assert result.exit_code == 0
    assert "stopped: not complete" in result.stdout
    assert "cannot be reached" in result.stderr
