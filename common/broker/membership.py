"""A worker's membership of its run: it joins, stays known, and leaves."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from common.broker.consumer import Consumer
from common.broker.step_notes import StepNotes
from common.protocol.keys import GROUP

EXIT_SECONDS = 10
"""Seconds that a process may take to end after leaving the run. Later, its id may be reused."""

logger = logging.getLogger("penstock.worker")


class Membership:
    """The membership of one worker.

    Args:
        lease: seconds that the worker counts as alive after each renewal.
    """

    def __init__(self, consumer: Consumer, lease: float) -> None:
        self._consumer = consumer
        self._connection = consumer.connection
        self._keys = consumer.keys
        self._stream = consumer.stream
        self._step = consumer.step
        self._worker_id = consumer.worker_id
        self._lease_ms = round(lease * 1000)
        self._facts: Mapping[str, Any] = {}

    def join(self, facts: Mapping[str, Any]) -> None:
        """Makes the worker known, with a first lease; its keeper renews it from then on.

        Raises:
            RunGone: there is no such run; nothing was written. The same holds for all methods below.
        """
        keys = [self._keys.workers, self._keys.worker(self._worker_id)]
        self._consumer.write("join", keys, self._worker_id, json.dumps(dict(facts)), self._lease_ms)
        self._facts = dict(facts)

    def stay_known(self) -> None:
        """Joins again if the broker has forgotten the worker: it may have lost its last writes."""
        if self._facts and not self._connection.command("HEXISTS", self._keys.workers, self._worker_id):
            logger.warning("the broker has forgotten worker %s, which rejoins", self._worker_id)
            self.join(self._facts)
            if self._facts.get("loaded"):
                StepNotes(self._consumer).note_loaded()

    def amend(self, **changes: object) -> None:
        """Notes facts that have changed since it joined, if any have."""
        facts = {**self._facts, **changes}
        if self._facts and facts != self._facts:
            self.tell(facts)
            self._facts = facts

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Notes, for the coordinator, why a worker could not serve."""
        self._consumer.write("join", [self._keys.workers], self._worker_id, json.dumps(dict(facts)))

    def leave(self) -> None:
        """Removes the worker; entries still pending for it can be claimed at once."""
        self._connection.call(
            "leave",
            [
                self._stream,
                self._keys.workers,
                self._keys.worker(self._worker_id),
                self._keys.generator(self._step),
                self._keys.left,
            ],
            GROUP,
            self._worker_id,
            EXIT_SECONDS,
        )
