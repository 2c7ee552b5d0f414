"""A worker that serves its step: what it tells the run meanwhile, and whether it is the only one that cannot serve."""

from __future__ import annotations

import logging
import socket
import time

from common.broker.consumer import Consumer
from common.broker.membership import Membership
from common.broker.runs import RunRegistry
from common.settings import Settings
from worker.life.solitude import Solitude
from worker.runners.runner import Runner

MOST_BETWEEN_LOOKS = 2.0
"""Seconds between two looks at the other workers."""

logger = logging.getLogger("penstock.worker")


class Serving:
    """Tells the run what rows wait for and what models have cost.

    Args:
        runner: of the step, which is loaded.
    """

    def __init__(self, runner: Runner, consumer: Consumer, membership: Membership, settings: Settings) -> None:
        self._runner = runner
        self._consumer = consumer
        self._membership = membership
        self._settings = settings
        self._solitude = Solitude(settings.alone)
        self._looked = 0.0

    def look(self) -> bool:
        """Tells what has changed; returns whether this worker alone finds its endpoint away, and should leave.

        Raises:
            RunGone: there is no such run.
        """
        waits, now = self._runner.waits, time.monotonic()
        self._membership.amend(away=waits.reason, busy=waits.busy, answered=waits.answered)
        self._runner.spending.write()
        return self._is_alone(now)

    def _is_alone(self, now: float) -> bool:
        """The other workers are looked at while rows wait, but seldom: each of many workers does it."""
        waits = self._runner.waits
        if waits.reason and now - self._looked < min(MOST_BETWEEN_LOOKS, self._settings.alone / 4):
            return False
        self._looked = now
        mine, step = self._consumer.worker_id, self._consumer.step
        known = RunRegistry(self._consumer.connection).workers(self._consumer.run_id) if waits.reason else []
        others = [one for one in known if one.step == step and one.worker_id != mine]
        if not self._solitude.look(waits, others, now):
            return False
        logger.error(
            "worker %s leaves and hands its batches back: it finds %s away, but other workers of step '%s' "
            "get answers. Check the network of host %s and base_url as seen from there; a supervisor starts another "
            "worker after %g s",
            mine,
            waits.reason,
            step,
            socket.gethostname(),
            self._settings.absence,
        )
        return True
