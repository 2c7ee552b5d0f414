"""What happens to a worker's devices when it, its keeper or the broker is killed or suspended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from common.broker.connection import Connection
from common.protocol.keys import Keys, device_key
from common.settings import Settings
from tests.support.runs.gpu_hosts import HOST, LEASE, ONE, Gpus, holder, hosts_of
from tests.support.runs.harness import REPOSITORY, Command, wait_for
from tests.support.runs.sight import Sight
from tests.support.servers.redis_server import RedisServer
from worker.host.devices import host_devices
from worker.host.placement import Placement
from worker.life.lease import has_ended

KEY = device_key(HOST, "0")
ROWS = 600


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpus]:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield from hosts_of(tmp_path)


def start(gpus: Gpus, url: str) -> tuple[Command, Sight, psutil.Process]:
    """A run with two workers for one device, when one of them has it and the other one waits; it is held."""
    gpus.hold()
    run = gpus.start_run(gpus.write(ONE, replicas=2, rows=ROWS), "--broker", url, DEVICES="0")
    (first,) = gpus.wait_for_loaded(1)
    wait_for(lambda: "waits for 1 of 1 GPU of host" in run.text, 30, "a worker that waits")
    return run, Sight(gpus, url), psutil.Process(first.pid)


def check_end(gpus: Gpus, run: Command, url: str) -> None:
    """The run, let go, is complete, and no device is taken."""
    gpus.release()
    assert run.wait(60) == 0, run.text
    assert sorted(row["n"] for row in gpus.rows("placed")) == list(range(ROWS))
    wait_for(lambda: not holder(url), 10, "a device that nobody has")


def wait_for_renewal(connection: Connection) -> None:
    """Returns when a lease that was given more time has its own again."""
    wait_for(lambda: 0 < connection.command("PTTL", KEY) <= LEASE * 1000, 30, "a renewed lease")


def keeper_of(sight: Sight, worker: psutil.Process) -> psutil.Process:
    return wait_for(lambda: sight.keeper(worker), what="a keeper")


def test_when_a_worker_is_killed_another_has_its_device_at_once(gpus: Gpus, redis_url: str) -> None:
    run, sight, worker = start(gpus, redis_url)
    Connection(redis_url).command("PEXPIRE", KEY, 60_000)  # not because the lease expired
    sight.wait_for_results("placed", 3)
    worker.kill()
    assert gpus.wait_for_loaded(2)[1].devices == "0"
    check_end(gpus, run, redis_url)


def test_a_worker_that_leaves_gives_its_device_back(gpus: Gpus, redis_url: str) -> None:
    run, sight, worker = start(gpus, redis_url)
    sight.wait_for_results("placed", 3)
    worker.send_signal(signal.SIGTERM)
    gpus.release()
    gpus.wait_for_loaded(2)
    check_end(gpus, run, redis_url)


def test_a_keeper_gives_devices_back_when_the_process_of_its_worker_is_gone_and_not_before(redis_url: str) -> None:
    connection = Connection(redis_url)
    program = f"""
import sys
from worker.life.lease import Keeper
keeper = Keeper({redis_url!r}, "run", "w", {LEASE})
keeper.ensure()
keeper.keep_devices([{KEY!r}], '{{"worker": "w"}}')
sys.stdin.readline()
keeper.stop()
sys.stdin.readline()
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    worker = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, env=environment, text=True)
    assert worker.stdin is not None
    wait_for(lambda: holder(redis_url), what="a lease that is kept")
    print(file=worker.stdin, flush=True)
    wait_for(lambda: connection.command("SISMEMBER", Keys("run").dead, "w"), what="word that the worker has left")
    connection.command("PEXPIRE", KEY, 60_000)
    wait_for_renewal(connection)
    worker.kill()
    wait_for(lambda: not holder(redis_url), what="a device that nobody has")
    worker.wait()
    worker.stdin.close()


def test_a_keeper_that_begins_when_its_worker_is_gone_gives_devices_back(redis_url: str) -> None:
    program = f"""
import os
from worker.life.lease import Keeper
keeper = Keeper({redis_url!r}, "run", "w", 60)
keeper.ensure()
keeper.keep_devices([{KEY!r}], '{{"worker": "w"}}')
os._exit(0)
"""
    Connection(redis_url).command("SET", KEY, '{"worker": "w"}', "PX", 60_000)
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, check=True)
    wait_for(lambda: not holder(redis_url), what="a device that nobody has")


def test_a_device_is_not_given_back_before_all_of_the_process_has_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as worker:
        pidfd = os.pidfd_open(worker.pid)
        assert worker.pid != os.getppid()  # as for a child of a process that is about to end
        assert not has_ended(worker.pid, pidfd, 0)
        worker.kill()
        assert has_ended(worker.pid, pidfd, 10)
        os.close(pidfd)


def test_another_keeper_renews_the_lease_of_the_device_as_well(gpus: Gpus, redis_url: str) -> None:
    run, sight, worker = start(gpus, redis_url)
    keeper = keeper_of(sight, worker)
    connection = Connection(redis_url)
    keeper.kill()
    connection.command("PEXPIRE", KEY, 60_000)  # a busy machine may take longer than a lease to start another keeper
    wait_for(lambda: keeper_of(sight, worker).pid != keeper.pid, what="another keeper")
    wait_for_renewal(connection)
    assert json.loads(holder(redis_url))["pid"] == worker.pid
    check_end(gpus, run, redis_url)
    assert len(gpus.loaded()) == 1


def test_a_worker_that_stands_still_keeps_its_device_since_its_memory_is_on_it(gpus: Gpus, redis_url: str) -> None:
    run, _, worker = start(gpus, redis_url)
    held = json.loads(holder(redis_url))
    connection = Connection(redis_url)
    worker.suspend()
    wait_for(lambda: not connection.command("EXISTS", Keys(held["run"]).worker(held["worker"])), 10, "a lease gone")
    connection.command("PEXPIRE", KEY, 60_000)
    wait_for_renewal(connection)
    assert json.loads(holder(redis_url)) == held
    worker.resume()
    check_end(gpus, run, redis_url)
    assert len(gpus.loaded()) == 1


def test_a_worker_that_has_lost_its_device_meanwhile_says_so_and_leaves(gpus: Gpus, redis_url: str) -> None:
    run, sight, worker = start(gpus, redis_url)
    held = holder(redis_url)
    keeper = keeper_of(sight, worker)
    worker.suspend()
    keeper.kill()
    wait_for(lambda: holder(redis_url) not in ("", held), 30, "another holder of the device")
    worker.resume()
    wait_for(lambda: "has lost its lease of GPUs and leaves: 0 is held by worker" in sight.log(), 30, "words")
    gpus.release()
    wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 30, "its end")
    check_end(gpus, run, redis_url)


def test_when_a_worker_and_its_keeper_are_killed_the_device_is_free_after_a_lease(gpus: Gpus, redis_url: str) -> None:
    run, sight, worker = start(gpus, redis_url)
    keeper = keeper_of(sight, worker)
    worker.suspend()
    keeper.kill()
    worker.kill()
    gpus.wait_for_loaded(2)
    check_end(gpus, run, redis_url)


def test_who_waits_for_devices_lets_a_lease_pass_when_the_broker_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that what `take` sets is undone
    with RedisServer() as server:
        settings = Settings(worker_lease=1.0, patience=20)
        offered = host_devices("0", {})
        placement = Placement(Connection(server.url), settings, offered, ("run", "step", "w"), {"step": 1})
        said: list[str] = []
        server.kill()
        waiting = threading.Thread(target=placement.take, args=(threading.Event(), said.append))
        waiting.start()
        wait_for(lambda: said, what="word that the broker is away")
        back = time.monotonic()
        server.start()
        waiting.join(20)
        assert placement.taken == [KEY]
        assert time.monotonic() - back > 1.0


def test_a_broker_that_was_away_for_longer_than_a_lease_finds_the_devices_where_they_were(gpus: Gpus) -> None:
    with RedisServer() as server:
        run, _, worker = start(gpus, server.url)
        server.kill()
        ran_out = time.monotonic() + 1.5 * LEASE
        wait_for(lambda: time.monotonic() > ran_out, what="the end of a lease")
        server.start()
        wait_for(lambda: holder(server.url), 30, "a holder of the device")
        assert json.loads(holder(server.url))["pid"] == worker.pid
        check_end(gpus, run, server.url)
        assert len(gpus.loaded()) == 1
