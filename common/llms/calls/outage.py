"""Is an endpoint away, and since when? A pure state machine; the caller has the clock and does the waiting.

While an endpoint is away, all rows wait together and one of them probes; each probe is another row, so that a row which
itself brings the endpoint down does not keep the others waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

FAULTS_IN_A_ROW = 5
"""Faults without a success between them that mean the endpoint is away."""
OWN_FAULTS = 5
"""Faults of one row after which they are its own: it is asked no more, though no other row succeeded meanwhile."""
FIRST_PROBE = 0.5
MOST_PROBE = 8.0
"""Seconds before the first probe and the most between two; doubled each time, with jitter."""

Blame = Literal["row", "endpoint"]


class Outage:
    """The state of one endpoint as one worker sees it.

    Args:
        jitter: returns a number between two others.

    Attributes:
        since: when it was first found away; None while it is not.
        why: the fault that showed it.
        probe_at: when the next row may ask.
        successes: answers so far, of any class that shows a working endpoint.
    """

    def __init__(self, jitter: Callable[[float, float], float]) -> None:
        self.since: float | None = None
        self.why = ""
        self.probe_at = 0.0
        self.successes = 0
        self._in_row = 0
        self._probes = 0
        self._jitter = jitter

    def worked(self) -> None:
        """It has answered: it is there."""
        self.successes += 1
        self._in_row = self._probes = 0
        self.since = None

    def failed(self, why: str, now: float, *, is_away: bool, before: int, own: int) -> Blame:
        """A call has failed without an answer, or with a 5xx.

        Args:
            is_away: the fault is surely not the row's, such as a refused connection.
            before: `successes` when the call was sent.
            own: such faults of this row that may be its own, this one included.

        Returns:
            `row`: an attempt of the row is used up. `endpoint`: the row asks again, as if it had not asked.
        """
        if not is_away and self.since is None and self.successes > before:
            return "row"  # others were answered meanwhile
        self._in_row += 1
        if is_away or self._in_row >= FAULTS_IN_A_ROW or self.since is not None:
            self.since = now if self.since is None else self.since
            self._probes += 1
        self.why = why
        self.probe_at = now + min(MOST_PROBE, FIRST_PROBE * 2 ** max(0, self._probes - 1)) * self._jitter(0.5, 1.0)
        return "row" if not is_away and own >= OWN_FAULTS else "endpoint"
