"""Which workers are dead: those certified dead, or without a lease in two looks, half a lease apart.

One look is not enough: after the broker was away, or lost its last writes, every worker briefly lacks a lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Set


class Deaths:
    """One worker's knowledge of the others.

    Args:
        lease: seconds that a worker counts as alive after each renewal.
        clock: in seconds.
    """

    def __init__(self, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._half = lease / 2
        self._clock = clock
        self._looked = clock()
        self._silent_since: dict[str, float] = {}
        self._buried: Set[str] = frozenset()

    @property
    def look_is_due(self) -> bool:
        """Whether the last look was at least half a lease ago."""
        return self._clock() - self._looked >= self._half

    def news(self, certified: Set[str]) -> Set[str]:
        """Workers certified dead and not yet known to have nothing left.

        Args:
            certified: workers that their keepers saw end.
        """
        return certified - self._buried

    def look(self, silent: Set[str], certified: Set[str] = frozenset()) -> set[str]:
        """The dead.

        Args:
            silent: workers without a lease now, of those with entries that others may take.
        """
        now = self._clock()
        if self.look_is_due:
            self._looked = now
        self._buried |= certified - silent
        self._silent_since = {worker: self._silent_since.get(worker, now) for worker in silent}
        return {
            worker for worker, since in self._silent_since.items() if worker in certified or now - since >= self._half
        }
