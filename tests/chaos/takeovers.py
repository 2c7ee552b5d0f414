"""How soon others have the batches of a worker that a fault has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil
import redis

from common.broker.runs import RunRegistry
from common.protocol.keys import GROUP
from tests.chaos.broker import Broker

LEASE = 1.0
"""Seconds, of workers and coordinator; the harness sets it."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """How long it took until another worker had a dead one's batches.

    Args:
        kind: what was killed.
        leases: the time, in leases.
    """

    kind: str
    leases: float


@dataclass(frozen=True, slots=True)
class Estate:
    """What a dead worker held.

    Args:
        worker: as the consumer group of the stream knows it.
        since: its death, in seconds of the monotonic clock.
    """

    kind: str
    stream: str
    worker: str
    since: float


class Takeovers:
    """Measures them.

    Attributes:
        measured: so far.
    """

    def __init__(self, broker: Broker) -> None:
        self.measured: list[Takeover] = []
        self._broker = broker
        self._watched: list[Estate] = []

    def watch(self, kind: str, process: psutil.Process, then: Callable[[], None]) -> None:
        """Measures how long it takes until others have what a process held, after `then` has ended it."""
        sight = self._broker.sight
        connection = sight.connect()
        with suppress(StopIteration):
            record = next(one for one in RunRegistry(connection).workers(sight.run_id) if one.pid == process.pid)
            stream = self._broker.keys.inputs(record.step)
            held = connection.pending(stream, GROUP, 100, record.worker_id)
            others = [one for one in sight.workers(record.step) if one.pid != process.pid]
            if held and others:
                self._watched.append(Estate(kind, stream, record.worker_id, time.monotonic()))
        connection.close()
        then()

    def look(self) -> None:
        """Called often: looks whether what a dead worker held has gone to others."""
        now = time.monotonic()
        for one in list(self._watched):
            try:
                rows = self._broker.client().xpending_range(one.stream, GROUP, "-", "+", 100, one.worker)
            except (redis.RedisError, OSError):
                self._watched.remove(one)  # the broker is away: this measures something else
                continue
            if not rows:
                self._watched.remove(one)
                self.measured.append(Takeover(one.kind, (now - one.since) / LEASE))
