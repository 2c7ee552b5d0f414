"""The process that keeps a worker's lease, where the broker does not answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import psutil

from common.broker.connection import Connection
from common.keys import Keys
from tests.redis_server import RedisServer
from worker.lease import Keeper


def test_a_worker_that_leaves_does_not_wait_for_ever_for_a_broker_that_stands_still(
    wait_until: Callable[..., None],
) -> None:
    with RedisServer() as server:
        keeper = Keeper(server.url, "run", "w1", 600)
        keeper.ensure()
        connection = Connection(server.url)
        wait_until(lambda: connection.command("EXISTS", Keys("run").worker("w1")), 60)
        processes = [one for one in psutil.Process().children() if "worker.lease" in one.cmdline()]
        os.kill(server.pid, signal.SIGSTOP)
        keeper.stop()
        os.kill(server.pid, signal.SIGCONT)
        assert len(processes) == 1
        assert not processes[0].is_running()
