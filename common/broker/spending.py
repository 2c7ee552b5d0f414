"""What the workers of a run have spent on models, whatever became of the answers: a note per worker that it replaces.

The notes of workers that have left stay, so the sum goes on over resumes. A worker that was killed has not noted its
last answers: the sum is a lower bound then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgpack

from common.broker.connection import Call, Connection
from common.broker.consumer import Consumer
from common.errors import NotPermitted, RunError
from common.protocol.checks import as_text
from common.protocol.keys import Keys
from common.protocol.usage import Usage, usage_in, usage_out

logger = logging.getLogger("penstock.worker")


class Spending:
    """The note of one worker.

    Args:
        spent: what it has spent so far.
        enabled: whether the coordinator reads it; older ones would leave it behind.
    """

    def __init__(self, consumer: Consumer, spent: Callable[[], Usage], *, enabled: bool = True) -> None:
        self._consumer = consumer
        self._spent = spent
        self._enabled = enabled
        self._noted = Usage()
        self._permitted = False

    def ahead(self) -> list[Call]:
        """What to send with a commit. The first note goes alone: were it refused, the commit would seem to be."""
        if not self._permitted:
            self.write()
        return self.calls() if self._permitted else []

    def calls(self, *, last: bool = False) -> list[Call]:
        """What to send to the broker; nothing if no model was asked.

        Args:
            last: the worker spends no more.
        """
        spent = self._spent()
        if not self._enabled or not spent:
            return []
        message = msgpack.packb([self._consumer.step, usage_out(spent)])
        keys = [self._consumer.keys.progress, self._consumer.keys.spent]
        requests = spent.total.requests
        return [Call("spend", keys, [self._consumer.worker_id, requests, message, "1" if last else "0"])]

    def write(self, *, last: bool = False) -> None:
        """Notes it now, if it has changed. If the broker is full, the next call tries again.

        Where the broker does not permit it, as with users of an earlier version, nothing more is noted.
        """
        spent = self._spent()
        if (spent == self._noted and not last) or not (calls := self.calls(last=last)):
            return
        try:
            replies = self._consumer.connection.batch(calls)
        except NotPermitted as error:
            self._enabled = self._permitted = False
            logger.warning("what this worker spends on models is not counted: %s", error)
            return
        self._permitted = True
        if not any(isinstance(reply, Exception) for reply in replies):
            self._noted = spent


@dataclass(frozen=True, slots=True)
class Spent:
    """What all workers of a run have noted.

    Args:
        steps: step -> what its workers have spent.
        is_lower_bound: a worker was killed, and may have spent more.
    """

    steps: Mapping[str, Usage] = field(default_factory=dict)
    is_lower_bound: bool = False


def read_spent(connection: Connection, run_id: str) -> Spent:
    """The sum of all notes; what Penstock did not write is left out.

    Raises:
        Disconnected: the broker is unreachable.
    """
    keys = Keys(run_id)
    steps: dict[str, Usage] = {}
    unended = []
    for worker, noted in connection.command("HGETALL", keys.spent).items():
        with suppress(ValueError, TypeError, RunError, msgpack.UnpackException):
            _, last, message = noted.split(b" ", 2)
            step, usage = msgpack.unpackb(message)
            steps[as_text(step)] = steps.get(step, Usage()) + usage_in(usage)
            if last != b"1":
                unended.append(worker.decode(errors="replace"))
    alive = connection.batch([("EXISTS", keys.worker(worker)) for worker in unended]) if unended else []
    return Spent(steps, is_lower_bound=not all(alive))
