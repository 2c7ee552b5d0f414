"""The keys of a run that is removed, and coordinators on other hosts that try to start the run meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import redis

from common.broker.runs import RunRegistry
from common.errors import Fenced
from common.protocol.batch import Payload
from common.protocol.holder import Holder
from coordinator.runs.lookup import FoundRun
from coordinator.runs.removal import delete_keys, remove_run
from coordinator.runs.run_directory import RECORD, RunDirectory, RunRecord, holder_of
from tests.support.meanwhile import before_the_rename, in_a_child
from tests.support.runs.broker import Run
from tests.support.servers.redis_server import RedisServer

REMOVER = Holder(4712, "there", "r")


@pytest.fixture
def stopped(run: Run) -> Run:
    """A run with some keys and without a coordinator."""
    RunRegistry(run.connection).add(run.run_id)
    run.connection.command("DEL", run.keys.lease)
    return run


def directory_of(run: Run, tmp_path: Path) -> FoundRun:
    directory = RunDirectory(tmp_path / "demo" / "aaaa")
    with directory:
        record = RunRecord(run=run.run_id, pipeline="demo", signature="aaaa", status="stopped", broker=run.url)
        return FoundRun(run.run_id, directory, directory.write(record))


def test_a_run_that_another_host_begins_to_coordinate_meanwhile_keeps_its_keys(stopped: Run, tmp_path: Path) -> None:
    found = directory_of(stopped, tmp_path)
    assert found.directory is not None
    record = found.directory.path / RECORD

    def overtaken() -> None:
        before_the_rename(record, stopped.coordinator().take_over)
        with pytest.raises(Fenced, match=f"run '{stopped.run_id}' is coordinated by process 4711 on here"):
            remove_run(found, None)

    in_a_child(overtaken)
    assert RunRegistry(stopped.connection).status(stopped.run_id)[0] == "running"


def test_nobody_coordinates_a_run_while_it_is_removed(stopped: Run) -> None:
    registry, other = RunRegistry(stopped.connection), stopped.coordinator()
    registry.condemn(stopped.run_id, REMOVER, 30)
    with pytest.raises(Fenced, match="is being removed by process 4712 on there; try again when that is done"):
        other.take_over()
    registry.delete(stopped.run_id)
    assert stopped.everything() == {}
    other.take_over()


def test_a_removal_that_stood_still_leaves_what_another_process_has_begun_meanwhile(stopped: Run) -> None:
    registry, other = RunRegistry(stopped.connection), stopped.coordinator()
    registry.condemn(stopped.run_id, REMOVER, 30)
    stopped.connection.command("DEL", stopped.keys.lease)
    other.take_over()
    before = stopped.everything()
    with pytest.raises(Fenced, match="was taken by another process while this one"):
        registry.delete(stopped.run_id, REMOVER.token, 30)
    assert stopped.everything() == before


def test_the_lease_of_a_removal_is_renewed(stopped: Run) -> None:
    registry = RunRegistry(stopped.connection)
    registry.condemn(stopped.run_id, REMOVER, 1)
    with redis.Redis.from_url(stopped.url) as client, client.monitor() as monitor:
        registry.delete(stopped.run_id, REMOVER.token, 30)
        commands = []
        while not commands or stopped.keys.lease not in commands[-1][1:] or commands[-1][0] != "UNLINK":
            commands.append(monitor.next_command()["command"].split())
    renewed = [place for place, command in enumerate(commands) if command[0] == "PEXPIRE"]
    deleted = [place for place, command in enumerate(commands) if command[0] == "UNLINK"]
    assert renewed[0] < deleted[0]
    assert len(renewed) == 4, "before the first keys, those that SCAN finds, the journal, the lease"


def test_a_run_that_is_begun_anew_keeps_the_lease(run: Run) -> None:
    RunRegistry(run.connection).delete(run.run_id, run.control.holder.token, run.control.lease, keeps_lease=True)
    assert list(run.everything()) == [run.keys.lease]
    with pytest.raises(Fenced):
        run.coordinator().take_over()
    run.control.take_over()


def test_the_lease_is_given_back_when_all_other_keys_are_gone(stopped: Run) -> None:
    registry = RunRegistry(stopped.connection)
    registry.condemn(stopped.run_id, REMOVER, 30)
    stopped.store(Payload("a", 0))
    deleted: list[str] = []
    with redis.Redis.from_url(stopped.url) as client, client.monitor() as monitor:
        registry.delete(stopped.run_id)
        while stopped.keys.lease not in deleted:
            command = monitor.next_command()["command"].split()
            deleted += command[1:] if command[0] == "UNLINK" else []
    assert deleted[-2:] == [stopped.keys.journal, stopped.keys.lease]
    assert stopped.payload_key(Payload("a", 0)) in deleted


def test_whoever_has_the_run_directory_finishes_a_removal_that_was_cut_off_at_once(
    stopped: Run, tmp_path: Path
) -> None:
    found, registry = directory_of(stopped, tmp_path), RunRegistry(stopped.connection)
    assert found.directory is not None
    with found.directory:
        registry.condemn(stopped.run_id, replace(holder_of(found.directory), token=REMOVER.token), 30)
        found.directory.condemn()
    remove_run(FoundRun(found.run_id, found.directory, found.record, condemned=True), None)
    assert stopped.everything() == {}


def test_the_keys_are_counted_that_were_there(stopped: Run) -> None:
    assert delete_keys(FoundRun(stopped.run_id), RunRegistry(stopped.connection)) > 0
    assert delete_keys(FoundRun(stopped.run_id), RunRegistry(stopped.connection)) == 0


def test_keys_of_another_type_are_removed(stopped: Run) -> None:
    stopped.connection.command("SADD", stopped.keys.lease, "something")
    delete_keys(FoundRun(stopped.run_id), RunRegistry(stopped.connection))
    assert stopped.everything() == {}


def test_a_full_broker_gets_room(tmp_path: Path) -> None:
    with RedisServer() as server:
        run = Run(server.url)
        run.connection.command("DEL", run.keys.lease)
        run.connection.command("CONFIG", "SET", "maxmemory", "1")
        delete_keys(FoundRun(run.run_id), RunRegistry(run.connection))
        assert run.everything() == {}
