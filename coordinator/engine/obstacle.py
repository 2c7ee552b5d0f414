"""What a run waits for before new work starts: room on a disk or in the broker, a store that is away."""

from __future__ import annotations

from collections.abc import Callable

from common.errors import RunError


class Obstacle:
    """Says what is waited for, once, and gives up when that takes longer than patience.

    Args:
        patience: seconds.
        say: is told what is waited for.

    Attributes:
        what: empty while nothing stands in the way.
    """

    def __init__(self, patience: float, say: Callable[[str], None]) -> None:
        self.what = ""
        self._patience = patience
        self._say = say
        self._since = 0.0

    def meet(self, what: str, now: float, *, draining: bool = False) -> None:
        """Something stands in the way.

        Args:
            now: by any clock, in seconds.
            draining: work in hand makes room meanwhile, so that patience does not run out.

        Raises:
            RunError: it has run out.
        """
        if what != self.what:
            self._say(f"waiting for {what}")
        if not self.what or draining:
            self._since = now
        self.what = what
        if now - self._since > self._patience:
            raise RunError(f"waited {self._patience:.0f} s for {what}; run the command again when it is mended")

    def clear(self) -> None:
        """Nothing stands in the way any more."""
        self.what = ""
