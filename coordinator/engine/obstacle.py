"""What a run waits for before new work starts: space on a disk or in the broker, or an unreachable store."""

from __future__ import annotations

from collections.abc import Callable

from common.errors import RunError


class Obstacle:
    """Reports once what the run waits for, and gives up when patience runs out.

    Args:
        patience: seconds.
        say: is told what the run waits for.

    Attributes:
        what: empty while there is no obstacle.
    """

    def __init__(self, patience: float, say: Callable[[str], None]) -> None:
        self.what = ""
        self._patience = patience
        self._say = say
        self._since = 0.0

    def meet(self, what: str, now: float, *, draining: bool = False) -> None:
        """Notes an obstacle.

        Args:
            now: by any clock, in seconds.
            draining: work in hand is freeing space, so patience does not run out.

        Raises:
            RunError: patience has run out.
        """
        if what != self.what:
            self._say(f"waiting for {what}")
        if not self.what or draining:
            self._since = now
        self.what = what
        if now - self._since > self._patience:
            raise RunError(f"waited {self._patience:.0f} s for {what}; once that is fixed, rerun the command to resume")

    def clear(self) -> None:
        """Notes that the obstacle is gone."""
        self.what = ""
