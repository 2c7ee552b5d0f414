"""Who is dead among workers: of whom that is certified, or who was without a lease in two looks, half a lease apart.

One look does not do: where the broker was away, or has lost its last writes, everybody is without a lease for a moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Set


class Deaths:
    """What one worker knows of the others.

    Args:
        lease: seconds that a worker is taken to be alive after each renewal.
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
        """Was the last look half a lease ago?"""
        return self._clock() - self._looked >= self._half

    def news(self, certified: Set[str]) -> Set[str]:
        """Those whose death is certified and who were not yet found to have nothing left.

        Args:
            certified: whose keepers saw them end.
        """
        return certified - self._buried

    def look(self, silent: Set[str], certified: Set[str] = frozenset()) -> set[str]:
        """The dead.

        Args:
            silent: who has no lease now, of those that have something left which others may take.
        """
        now = self._clock()
        if self.look_is_due:
            self._looked = now
        self._buried |= certified - silent
        self._silent_since = {worker: self._silent_since.get(worker, now) for worker in silent}
        return {
            worker for worker, since in self._silent_since.items() if worker in certified or now - since >= self._half
        }
