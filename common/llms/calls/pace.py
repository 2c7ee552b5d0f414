"""How fast an endpoint that said "too much" is asked: a pause, then a rate that climbs back. Pure.

All times are in seconds, by a clock of the caller's that does not go back.
"""

from __future__ import annotations

from collections import deque

FIRST_PAUSE = 1.0
MOST_PAUSE = 60.0
"""Seconds after a refusal that names no time, doubled with each further one in a row, and the most."""
MEASURED_SECONDS = 10.0
"""The rate that an endpoint allows is taken from what it granted in so many seconds."""
CUT = 0.9
"""Share of the measured rate that is asked for after a refusal."""
CLIMB = 0.01
STEADY_SECONDS = 15.0
"""The rate climbs by this share of what was measured each second, and ever faster once that has gone well for long."""
FIRST_CLIMB = 0.15
"""After the first refusals in a row it climbs by this share of itself: they may have shown far too little."""
RESERVED_SECONDS = 1.0
"""No turn is given further ahead than this, since the rate changes meanwhile."""
LEAST_RATE = 0.05
"""Calls per second."""


class Pace:
    """The calls of one worker to one endpoint.

    Attributes:
        rate: calls per second; None while nothing was refused.
        cuts: how often a refusal has changed the rate: a turn that was given before counts no more.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self.cuts = 0
        self._measured = LEAST_RATE
        self._granted: deque[float] = deque()
        self._began: float | None = None
        self._cut_at: float | None = None
        self._is_measured = True
        self._in_peace_until = float("-inf")
        self._climbed_at = 0.0
        self._next = float("-inf")
        self._refused_in_row = 0
        self._bursts = 0

    def turn(self, now: float) -> tuple[float, bool]:
        """When the next call may go: (seconds to wait, is that its turn, or must it ask again then)."""
        if self._began is None:
            self._began = now
        if now < self._in_peace_until:
            return self._in_peace_until - now, False
        if not self._is_measured:
            self._measure(now)
        self._climb(now)
        if self.rate is None:
            return 0.0, True
        at = max(now, self._next)
        if at - now > RESERVED_SECONDS:
            return RESERVED_SECONDS, False
        self._next = at + 1 / self.rate
        return at - now, True

    @property
    def pause_ends(self) -> float:
        """When the pause after the last refusal is over."""
        return self._in_peace_until

    def granted(self, now: float) -> None:
        """A call was answered."""
        self._refused_in_row = 0
        self._granted.append(now)
        while self._granted[0] < now - 2 * MEASURED_SECONDS - MOST_PAUSE:
            self._granted.popleft()

    def refused(self, sent: float, now: float, asked_for: float | None) -> None:
        """A call was refused.

        Args:
            sent: when it was sent. Of the calls that were in flight at a refusal, the others say nothing new.
            asked_for: seconds of pause that the endpoint names.
        """
        is_new = self._cut_at is None or sent > self._cut_at
        if is_new:
            self._bursts += not self._refused_in_row
            self._refused_in_row += 1
            self.cuts += 1
            self._cut_at = now
            self._is_measured = False
        pause = min(MOST_PAUSE, FIRST_PAUSE * 2 ** (self._refused_in_row - 1)) if asked_for is None else asked_for
        if is_new or asked_for is not None:
            self._in_peace_until = max(self._in_peace_until, now + pause)

    def _measure(self, now: float) -> None:
        """Done after the pause, when the calls that were in flight at the refusal have been answered."""
        assert self._cut_at is not None
        assert self._began is not None
        first = max(self._began, self._cut_at - MEASURED_SECONDS)
        seen = sum(at >= first for at in self._granted) / max(1.0, self._cut_at - first)
        if not seen:
            seen = (self.rate or 1.0) / 2
        self._measured = max(LEAST_RATE, min(seen, self.rate or seen))
        self.rate = max(LEAST_RATE, self._measured * CUT)
        self._next = self._climbed_at = now
        self._is_measured = True

    def _climb(self, now: float) -> None:
        if self.rate is not None:
            assert self._cut_at is not None
            quiet, passed = (now - self._cut_at) / STEADY_SECONDS, max(0.0, now - self._climbed_at)
            climb = self.rate * FIRST_CLIMB if self._bursts == 1 else self._measured * CLIMB * (1 + quiet**2)
            self.rate += climb * passed
            self._climbed_at = now
