"""Which entries a worker takes: its own unfinished ones, then those handed back or left by others, then new ones."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from common.broker.consumer import Consumer
from common.broker.deaths import Deaths
from common.broker.inbox import Inbox, Taken

LONGEST_BLOCK = 0.25
"""Seconds that a read waits for an entry, so that a stop is noticed soon."""

logger = logging.getLogger("penstock.worker")


class Taker:
    """Takes entries, and knows which ones it has in hand.

    Args:
        lease: seconds that a worker counts as alive after each renewal.
    """

    def __init__(self, consumer: Consumer, lease: float) -> None:
        self._consumer = consumer
        self._inbox = Inbox(consumer)
        self._block = min(LONGEST_BLOCK, lease / 4)
        self._deaths = Deaths(lease)
        self._held: dict[str, Taken] = {}
        self._lock = threading.Lock()
        self._compare = True
        self._looked_for_dead = 0.0
        self._looked_for_handed_back = 0.0

    @property
    def held(self) -> int:
        """Entries taken and neither committed nor handed back."""
        return len(self._held)

    def forget(self, entries: Sequence[str]) -> None:
        """Entries that were committed, lost or handed back; from any thread."""
        with self._lock:
            for entry in entries:
                self._held.pop(entry, None)

    def compare(self) -> None:
        """The broker may hold entries for this worker that it does not know of: the next look is for them."""
        self._compare = True

    def take(self, room: int) -> list[Taken]:
        """At most `room` entries; waits a moment for new ones.

        Raises:
            Disconnected: some may be pending for this worker that it does not know of.
        """
        if self._compare:
            with self._lock:
                held = set(self._held)  # before asking: an entry committed meanwhile is in the answer, yet finished
            unfinished = self._inbox.pending(held)
            self._compare = len(unfinished) > room
            if unfinished:
                return self._hold(unfinished[:room])
        if left := self._claim_handed_back(room) or self._claim(self._find_dead(), room):
            return self._hold(left)
        return self._hold(self._inbox.read(room, self._block))

    def hand_back(self, taken: Sequence[Taken]) -> None:
        """Hands entries that were not run back, for any worker to claim."""
        self._inbox.hand_back(taken)
        self.forget([one.entry for one in taken])

    def _hold(self, taken: list[Taken]) -> list[Taken]:
        with self._lock:
            self._held.update((one.entry, one) for one in taken)
        return taken

    def _claim_handed_back(self, room: int) -> list[Taken]:
        now = time.monotonic()
        if now - self._looked_for_handed_back < LONGEST_BLOCK:
            return []
        found = self._inbox.claim_handed_back(room)
        if len(found) < room:  # otherwise there may be more, which must not wait behind new ones
            self._looked_for_handed_back = now
        return found

    def _find_dead(self) -> set[str]:
        """Dead workers that hold entries. Certificates are checked often, since that is cheap."""
        now = time.monotonic()
        if now - self._looked_for_dead < LONGEST_BLOCK:
            return set()
        self._looked_for_dead = now
        certified = self._consumer.dead_workers()
        if self._deaths.look_is_due:
            self._compare = True
        elif not self._deaths.news(certified):
            return set()
        silent = {worker for worker, entries in self._inbox.silent_workers().items() if entries}
        return self._deaths.look(silent, certified)

    def _claim(self, dead: set[str], room: int) -> list[Taken]:
        claimed: list[Taken] = []
        for worker in sorted(dead):
            if len(claimed) < room and (found := self._inbox.claim(worker, room - len(claimed))):
                logger.warning("took over %d batches of dead worker %s", len(found), worker)
                claimed += found
        return claimed
