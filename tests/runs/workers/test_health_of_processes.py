"""`python -m common.health`: what it says of real processes."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.broker.connection import Connection
from common.errors import Disconnected
from common.health import Process, faults, processes
from common.protocol.keys import Keys
from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.runs.hosts import SLOW, coordinator, said, the_run, worker


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path, fresh=True)


def found(command: Command) -> list[Process]:
    """What the check would find in a container of this command alone."""
    return [process for process in processes() if process.pid == command.process.pid]


def test_a_worker_that_waits_for_a_run_is_well(harness: Harness, redis_url: str) -> None:
    waiting = worker(harness, redis_url, "load")
    said(waiting, "waiting for a run")
    (process,) = found(waiting)
    assert process.broker == redis_url
    assert list(faults([process])) == []


def test_a_coordinator_and_a_worker_with_its_lease_are_well(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, harness.write_spec(SLOW), redis_url)
    load = worker(harness, redis_url, "load")
    said(load, "step 'load' loaded")
    assert list(faults([*found(run), *found(load)])) == []


def test_a_worker_that_stands_still_loses_its_lease_and_is_not_well(harness: Harness, redis_url: str) -> None:
    coordinator(harness, harness.write_spec(SLOW), redis_url)
    load = worker(harness, redis_url, "load")
    said(load, "step 'load' loaded")
    load.kill(signal.SIGSTOP)
    pid = load.process.pid
    wait_for(lambda: len(list(faults(found(load)))) == 2, what="the lease to run out")
    still, lost = faults(found(load))
    assert still == f"process {pid} is stopped (state T)"
    assert lost.startswith(f"process {pid} has lost its lease: worker ")


def test_a_process_id_that_was_a_dead_workers_is_well_once_it_has_a_lease(harness: Harness, redis_url: str) -> None:
    """A container that is started again has the host name and the process ids that it had before."""
    coordinator(harness, harness.write_spec(SLOW), redis_url)
    load = worker(harness, redis_url, "load")
    said(load, "step 'load' loaded")
    facts = f'{{"step": "load", "host": "{socket.gethostname()}", "pid": {load.process.pid}, "loaded": true}}'
    Connection(redis_url).command("HSET", Keys(the_run(redis_url)).workers, "dead0000", facts)
    assert list(faults(found(load))) == []


def test_a_broker_that_is_away_is_named() -> None:
    with pytest.raises(Disconnected, match="cannot be reached"):
        list(faults([Process(os.getpid(), "S", "redis://127.0.0.1:1/0")]))
