"""Runs that start in the directory of another one, whose keys are in another broker, or under another id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.broker.connection import Connection
from common.protocol.keys import Keys
from coordinator.runs.run_directory import CONDEMNED, RecordedStatus, RunDirectory
from tests.support.runs.harness import Harness, harnesses
from tests.support.servers.redis_server import RedisServer

SPEC = 'name: alone\nsteps:\n  load: {type: "mysteps:Count", rows: 20}\n'
BEFORE = "before"


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def spec(harness: Harness) -> Path:
    return harness.write_spec(SPEC)


def leave_run(harness: Harness, spec: Path, url: str, status: RecordedStatus = "stopped") -> RunDirectory:
    """The directory of the run `before` at the broker, with this status, and keys of it there."""
    code, text = harness.run(spec, "--broker", url, "--run-id", BEFORE)
    assert code == 0, text
    directory = RunDirectory(harness.run_directory)
    with directory:
        directory.update(status=status)
    assert keys(url)
    return directory


def condemn(directory: RunDirectory) -> None:
    with directory:
        directory.condemn()


def keys(url: str) -> list[bytes]:
    found: list[bytes] = Connection(url).command("KEYS", Keys(BEFORE).everything)
    return found


@pytest.mark.parametrize("elsewhere", [True, False], ids=["another-broker", "another-id"])
def test_the_keys_of_a_run_whose_removal_was_cut_off_are_deleted_where_its_record_says(
    harness: Harness, spec: Path, redis_url: str, elsewhere: bool
) -> None:
    condemn(leave_run(harness, spec, redis_url))
    there = ("--run-id", BEFORE) if elsewhere else ("--broker", redis_url, "--run-id", "after")
    code, text = harness.run(spec, *there)
    assert code == 0, text
    assert keys(redis_url) == []
    assert len(harness.rows()) == 20


def test_the_keys_of_a_run_that_is_given_up_for_a_fresh_one_elsewhere_are_deleted(
    harness: Harness, spec: Path, redis_url: str
) -> None:
    leave_run(harness, spec, redis_url)
    code, text = harness.run(spec, "--fresh")
    assert code == 0, text
    assert keys(redis_url) == []


@pytest.mark.parametrize("condemned", [True, False], ids=["condemned", "fresh"])
def test_where_their_broker_is_away_nothing_is_changed_until_it_is_back(
    harness: Harness, spec: Path, server: RedisServer, condemned: bool
) -> None:
    directory = leave_run(harness, spec, server.url)
    if condemned:
        condemn(directory)
    again = () if condemned else ("--fresh",)
    server.kill()
    code, text = harness.run(spec, *again)
    assert code == 1
    assert f"it may hold keys of the previous run '{BEFORE}' of {directory.path}, so nothing was changed" in text
    assert f"pipeline-coordinator rm {directory.path} --broker URL" in text
    record = directory.read_condemned() if condemned else directory.read()
    assert record is not None
    assert record.broker == server.url
    assert (directory.path / "dataset").is_dir()
    server.start()
    code, text = harness.run(spec, *again)
    assert code == 0, text
    assert keys(server.url) == []


def test_a_broker_whose_password_is_not_known_is_named(harness: Harness, spec: Path, redis_url: str) -> None:
    directory = leave_run(harness, spec, redis_url)
    with directory:
        directory.update(broker="redis://me:secret@somewhere/0")
    code, text = harness.run(spec, "--fresh")
    assert code == 2
    assert "the broker at redis://me:***@somewhere/0 requires a password, and passwords are not stored" in text
    assert directory.read() is not None


def test_keys_of_a_complete_run_expire_and_are_not_waited_for(
    harness: Harness, spec: Path, server: RedisServer
) -> None:
    leave_run(harness, spec, server.url, "complete")
    server.kill()
    code, text = harness.run(spec, "--fresh")
    assert code == 0, text
    assert "may remain in the broker until they expire" in text


def test_a_record_that_says_where_keys_are_and_cannot_be_read_is_not_forgotten(harness: Harness, spec: Path) -> None:
    assert harness.run(spec)[0] == 0
    directory = RunDirectory(harness.run_directory)
    condemn(directory)
    (directory.path / CONDEMNED).write_text(json.dumps({"run": BEFORE}))
    code, text = harness.run(spec)
    assert code == 1
    assert f"{directory.path / CONDEMNED} cannot be read" in text
    assert directory.is_condemned
    assert harness.run(spec, "--fresh")[0] == 0


def test_keys_of_another_pipeline_that_has_the_id_by_now_are_left_alone(
    harness: Harness, spec: Path, redis_url: str
) -> None:
    leave_run(harness, spec, redis_url)
    Connection(redis_url).command("HSET", Keys(BEFORE).run, "signature", "another")
    code, text = harness.run(spec, "--fresh")
    assert code == 0, text
    assert keys(redis_url)
