"""The process that keeps a worker's lease and hears what it prints, where the broker does not answer."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator

import psutil
import pytest

from common.broker.connection import Connection
from common.protocol.keys import Keys
from tests.support.runs.broker import Run
from tests.support.runs.sight import is_keeper
from tests.support.servers.redis_server import RedisServer
from worker.host.listener import Listener
from worker.host.log import LogShipper
from worker.life.lease import Keeper


def test_a_worker_that_leaves_does_not_wait_for_ever_for_a_broker_that_stands_still(
    wait_until: Callable[..., None],
) -> None:
    with RedisServer() as server:
        keeper = Keeper(server.url, "run", "w1", 600)
        keeper.ensure()
        connection = Connection(server.url)
        wait_until(lambda: connection.command("EXISTS", Keys("run").worker("w1")), 60)
        processes = [one for one in psutil.Process().children() if is_keeper(one)]
        os.kill(server.pid, signal.SIGSTOP)
        keeper.stop()
        os.kill(server.pid, signal.SIGCONT)
        assert len(processes) == 1
        assert not processes[0].is_running()


def test_a_late_answer_to_a_flush_is_not_taken_for_that_to_a_stop(
    wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.life.lease.FLUSH_SECONDS", 0.0)
    monkeypatch.setattr("worker.life.lease.STOP_SECONDS", 0.5)
    with RedisServer() as server:
        keeper = Keeper(server.url, "run", "w1", 600)
        keeper.ensure()
        connection = Connection(server.url)
        wait_until(lambda: connection.command("EXISTS", Keys("run").worker("w1")), 60)
        (process,) = [one for one in psutil.Process().children() if is_keeper(one)]
        process.suspend()
        keeper.flush()
        os.kill(server.pid, signal.SIGSTOP)
        process.resume()
        keeper.stop()
        os.kill(server.pid, signal.SIGCONT)
        assert not process.is_running()


def test_a_keeper_answers_each_flush(wait_until: Callable[..., None]) -> None:
    with RedisServer() as server:
        keeper = Keeper(server.url, "run", "w1", 600)
        keeper.ensure()
        for _ in range(12):
            keeper.flush()
        keeper.stop()
        assert not Connection(server.url).command("EXISTS", Keys("run").worker("w1"))


def test_who_writes_is_not_held_up_by_a_broker_that_stands_still(wait_until: Callable[..., None]) -> None:
    with RedisServer() as server:
        run = Run(server.url)
        logger, shipper = logging.Logger("penstock.step.a"), LogShipper("a", "w1")
        logger.addHandler(shipper)
        ends = [os.pipe(), os.pipe()]
        listener = Listener([reads for reads, _ in ends], logger, shipper, run.worker("w1").log)
        listener.start()
        os.write(ends[0][1], b"first\n")
        wait_until(lambda: run.reports.log())
        os.kill(server.pid, signal.SIGSTOP)
        for _ in range(2):
            writes = threading.Thread(target=write_all, args=(ends[0][1], b"x" * 99_999 + b"\n"), daemon=True)
            writes.start()
            wait_until(lambda writes=writes: not writes.is_alive())
            wait_until(lambda: "ship" in {frame.name for frame in frames()})
        os.write(ends[1][1], b"last")
        os.kill(server.pid, signal.SIGCONT)
        listener.drain()
        texts = [json.loads(fields[b"m"])["text"][:5] for _, fields in run.reports.log()]
        assert texts == ["first", "xxxxx", "xxxxx", "last"]
        for _, end in ends:
            os.close(end)


def write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def frames() -> Iterator[traceback.FrameSummary]:
    """The frames in which all threads of this process are."""
    for frame in sys._current_frames().values():
        yield from traceback.extract_stack(frame)
