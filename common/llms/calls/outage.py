"""Is an endpoint away, and since when? A pure state machine; the caller has the clock and does the waiting.

While an endpoint is away, all rows wait together and one of them probes; each probe is another row, so that a row which
itself brings the endpoint down does not keep the others waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

FAULTS_IN_A_ROW = 5
"""Faults without a success between them that mean the endpoint is away."""
OWN_FAULTS = 5
"""Faults of one row after which they are its own: it is asked no more, though no other row succeeded meanwhile."""
FIRST_PROBE = 0.5
MOST_PROBE = 8.0
"""Seconds before the first probe and the most between two; doubled each time, with jitter."""

Blame = Literal["row", "endpoint"]


@dataclass(slots=True)
class Record:
    """What one row has met at an endpoint.

    Args:
        faults: that may be its own.
        seen: the endpoint's successes and outages at the last one; None before the first.
        retried: how often the current call was repeated after a fault of the row's.
    """

    faults: int = 0
    seen: tuple[int, int] | None = None
    retried: int = 0


class Outage:
    """The state of one endpoint as one worker sees it.

    Args:
        jitter: returns a number between two others.

    Attributes:
        since: when it was first found away; None while it is not.
        why: the fault that showed it.
        probe_at: when the next row may ask.
    """

    def __init__(self, jitter: Callable[[float, float], float]) -> None:
        self.since: float | None = None
        self.why = ""
        self.probe_at = 0.0
        self._successes = 0
        self._outages = 0
        self._in_row = 0
        self._probes = 0
        self._jitter = jitter

    def worked(self) -> None:
        """It has answered, if only with a refusal: it is there."""
        self._successes += 1
        self._in_row = self._probes = 0
        self.since = None

    def failed(self, why: str, now: float, record: Record, *, is_away: bool) -> Blame:
        """A call has failed without an answer, or with a 5xx.

        A first fault of a row says nothing: calls of other rows may have ended well just before. After a second one,
        with answers to others between the two, it is the row's.

        Args:
            is_away: the fault is surely not the row's, such as a refused connection.
            record: of the row.

        Returns:
            `row`: an attempt of the row is used up. `endpoint`: the row asks again, as if it had not asked.
        """
        blame: Blame = "endpoint"
        if not is_away:
            record.faults += 1
            before, record.seen = record.seen, (self._successes, self._outages)
            others_worked = before is not None and before[0] < self._successes and before[1] == self._outages
            if self.since is None and others_worked:
                return "row"
            blame = "row" if record.faults >= OWN_FAULTS else "endpoint"
        self._in_row += 1
        if is_away or self._in_row >= FAULTS_IN_A_ROW or self.since is not None:
            if self.since is None:
                self.since = now
                self._outages += 1
            self._probes += 1
        self.why = why
        self.probe_at = now + min(MOST_PROBE, FIRST_PROBE * 2 ** max(0, self._probes - 1)) * self._jitter(0.5, 1.0)
        return blame
