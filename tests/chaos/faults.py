"""How each kind of fault is done to a run.

An injector returns False if it has no target at the moment, else True, or the step that it hit.
"""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import redis

from common.errors import EXIT_FAILED, EXIT_FAILED_ROWS, EXIT_FENCED, EXIT_STOPPED
from common.protocol.keys import GROUP
from tests.chaos.endpoint_server import BUSY, BUSY_WITH_A_PAUSE, ERRORS, RESETS, SLOW
from tests.chaos.scenario import Fault, Injected
from tests.chaos.stage import STEPS, Stage
from tests.chaos.takeovers import LEASE
from tests.support.runs.harness import wait_for

Injector = Callable[[Stage, Fault], bool | str]
STRANGER = "stranger"
SMALL_FILE = 2_000
"""Bytes; no part is smaller."""


def inject(stage: Stage, fault: Fault) -> Injected | None:
    """Injects the fault; None if that was not possible."""
    since = time.monotonic()
    try:
        hit = INJECTORS[fault.kind](stage, fault)
    except (psutil.NoSuchProcess, redis.RedisError, ValueError, OSError):
        return None  # its target has just gone, or is not there yet
    return Injected(fault, since, time.monotonic(), hit if isinstance(hit, str) else "") if hit else None


# workers


def kill_worker(stage: Stage, fault: Fault) -> bool | str:
    step, victims = stage.workers.victims(fault.step)
    if victims:
        stage.takeovers.watch(fault.kind, victims[0], lambda: stage.workers.hurt(victims[0]))
    return step


def kill_worker_and_keeper(stage: Stage, fault: Fault) -> bool | str:
    step, victims = stage.workers.victims(fault.step)
    for victim in victims:
        if (keeper := stage.sight.keeper(victim)) is None:
            continue

        def kill_both(one: psutil.Process = victim, other: psutil.Process = keeper) -> None:
            other.suspend()  # else it would see its worker die
            stage.workers.hurt(one)
            stage.workers.hurt(other)

        stage.takeovers.watch(fault.kind, victim, kill_both)
        return step
    return False


def kill_keeper(stage: Stage, fault: Fault) -> bool:
    for victim in stage.workers.victims(fault.step)[1]:
        if (keeper := stage.sight.keeper(victim)) is not None:
            stage.workers.hurt(keeper)
            return True
    return False


def stop_worker(stage: Stage, fault: Fault) -> bool | str:
    step, victims = stage.workers.victims(fault.step)
    if victims:
        stage.workers.hurt(victims[0], signal.SIGSTOP)
        stage.later.after(LEASE + fault.seconds, lambda: wake(victims[0]))
    return step


def wake(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.resume()


# the coordinator and its processes


def kill_coordinator(stage: Stage, fault: Fault) -> bool:
    stage.allowed.add(-signal.SIGKILL)
    stage.command.kill()
    return True


def stop_coordinator(stage: Stage, fault: Fault) -> bool:
    process = psutil.Process(stage.command.process.pid)
    process.suspend()
    stage.later.after(LEASE + fault.seconds, lambda: wake(process))
    return True


def second_coordinator(stage: Stage, fault: Fault) -> bool:
    if not stage.later.nothing_left or stage.command.process.poll() is not None or not stage.broker.written():
        return False
    first = stage.command
    stage.run()
    second = stage.command
    wait_for(lambda: any(one.process.poll() is not None for one in (first, second)), 60, "the end of one of the two")
    code = second.process.poll()
    if code == EXIT_FENCED or (code == EXIT_FAILED_ROWS and "was already complete" in second.text):
        stage.command = first
    else:  # the first one has just ended, and the second one has the run
        assert first.process.poll() is not None, f"it ended with {code}: {second.text}"
    return True


def interrupt(stage: Stage, fault: Fault) -> bool:
    if "rows" not in stage.command.text and not stage.broker.written():
        return False
    stage.allowed.add(EXIT_STOPPED)
    stage.command.kill(signal.SIGINT)
    return True


def kill_supervisor(stage: Stage, fault: Fault) -> bool:
    supervisor = stage.sight.supervisor(stage.command)
    stage.allowed.add(EXIT_FAILED)
    stage.workers.hurt(supervisor)
    return True


def kill_guardian(stage: Stage, fault: Fault) -> bool:
    guardian = stage.sight.guardian(stage.command)
    stage.allowed.add(EXIT_FAILED)
    stage.workers.hurt(guardian)
    return True


# the broker


def kill_broker(stage: Stage, fault: Fault) -> bool:
    server = stage.broker.server
    if server is not None:
        if not stage.later.nothing_left:
            return False
        server.kill()
        stage.later.after(fault.seconds, server.start)
        return True
    pid = stage.sight.redis()
    if pid is None:
        return False
    psutil.Process(pid).kill()
    return True


def forget_last_second(stage: Stage, fault: Fault) -> bool:
    """As on a host that loses power, unsynced data are gone."""
    server = stage.broker.server
    if server is None or not stage.later.nothing_left or not stage.broker.can_lose_a_second:
        return False
    stage.broker.lose_power()
    stage.later.after(fault.seconds, server.start)
    return True


def fill_broker(stage: Stage, fault: Fault) -> bool:
    client = stage.broker.client()
    client.config_set("maxmemory", 1)

    def make_room() -> None:
        with suppress(redis.RedisError, OSError):  # a restarted one has its own limit
            stage.broker.client().config_set("maxmemory", 0)

    stage.later.after(fault.seconds, make_room)
    return True


def cut_connections(stage: Stage, fault: Fault) -> bool:
    assert stage.broker.proxy is not None
    stage.broker.proxy.cut()
    return True


def slow_connections(stage: Stage, fault: Fault) -> bool:
    assert stage.broker.proxy is not None
    stage.broker.proxy.slow_down(fault.seconds)
    return True


# the disk


def fill_disk(stage: Stage, fault: Fault) -> bool:
    """Lets no file of the coordinator grow beyond a part."""
    process = psutil.Process(stage.command.process.pid)
    stage.allowed.add(EXIT_FAILED)
    process.rlimit(resource.RLIMIT_FSIZE, (SMALL_FILE, resource.RLIM_INFINITY))

    def make_room() -> None:
        with suppress(psutil.NoSuchProcess):
            process.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    stage.later.after(fault.seconds, make_room)
    return True


# batches


def claim_for_stranger(stage: Stage, fault: Fault) -> bool | str:
    """Claims batches for a consumer that never works on them."""
    for step in (fault.step, *stage.scenario.pipeline.steps):
        stream = stage.broker.keys.inputs(step)
        held = stage.broker.client().xpending_range(stream, GROUP, "-", "+", 3)
        if held:
            stage.broker.client().xclaim(stream, GROUP, STRANGER, 0, [row["message_id"] for row in held])
            return step
    return False


def send_twice(stage: Stage, fault: Fault) -> bool | str:
    for step in (fault.step, *stage.scenario.pipeline.steps):
        stream = stage.broker.keys.inputs(step)
        for _, fields in stage.broker.client().xrange(stream, count=2):
            stage.broker.client().xadd(stream, fields)
            return step
    return False


# the endpoint of the models


def kill_endpoint(stage: Stage, fault: Fault) -> bool:
    """Refuses connections until it is started again at its port."""
    if not stage.endpoint.was_asked or not stage.endpoint.is_up:
        return False
    stage.endpoint.kill()
    stage.later.after(fault.seconds, stage.endpoint.start)
    return True


def trouble(kind: str) -> Injector:
    """The endpoint does that for the time of the fault."""

    def inject_trouble(stage: Stage, fault: Fault) -> bool:
        if not stage.endpoint.was_asked:
            return False
        stage.endpoint.trouble(kind, fault.seconds)
        return True

    return inject_trouble


# workers that must not serve


def start_other_protocol(stage: Stage, fault: Fault) -> bool:
    stage.workers.start_other_protocol(fault.step)
    return True


def start_other_source(stage: Stage, fault: Fault) -> bool:
    folder = stage.harness.folder / "other"
    folder.mkdir(exist_ok=True)
    (folder / STEPS.name).write_text(STEPS.read_text() + "\n# another source\n")
    step = fault.step if fault.step not in ("ask", "keep") else "label"  # their source is Penstock's
    stage.workers.start_other_source(step, folder)
    return True


INJECTORS: dict[str, Injector] = {
    "worker killed": kill_worker,
    "worker killed with its keeper": kill_worker_and_keeper,
    "keeper killed": kill_keeper,
    "worker stopped past its lease": stop_worker,
    "coordinator killed": kill_coordinator,
    "coordinator stopped past its lease": stop_coordinator,
    "second coordinator": second_coordinator,
    "Ctrl-C": interrupt,
    "broker killed": kill_broker,
    "broker without its last second": forget_last_second,
    "broker full": fill_broker,
    "disk full": fill_disk,
    "batch claimed by a stranger": claim_for_stranger,
    "batch sent twice": send_twice,
    "endpoint killed": kill_endpoint,
    "endpoint busy": trouble(BUSY),
    "endpoint busy, with a pause": trouble(BUSY_WITH_A_PAUSE),
    "endpoint slow": trouble(SLOW),
    "endpoint fails on some rows": trouble(ERRORS),
    "endpoint resets connections": trouble(RESETS),
    "supervisor killed": kill_supervisor,
    "guardian killed": kill_guardian,
    "connections cut": cut_connections,
    "connections slow": slow_connections,
    "worker of another protocol": start_other_protocol,
    "worker of another source": start_other_source,
}
