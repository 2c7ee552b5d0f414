"""What is to be done later in a scenario."""

from __future__ import annotations

import time
from collections.abc import Callable


class Later:
    """Actions, each of which is due at a time."""

    def __init__(self) -> None:
        self._actions: list[tuple[float, Callable[[], None]]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Does something when so many seconds have passed."""
        self._actions.append((time.monotonic() + seconds, action))

    def do_what_is_due(self, everything: bool = False) -> None:
        """Called often; with `everything` nothing is left for later."""
        now = time.monotonic()
        due = [one for one in self._actions if everything or one[0] <= now]
        self._actions = [one for one in self._actions if one not in due]
        for _, action in due:
            action()

    @property
    def nothing_left(self) -> bool:
        """Is nothing going on that is still to be undone?"""
        return not self._actions
