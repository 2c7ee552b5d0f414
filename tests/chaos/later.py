"""Actions that are due later in a scenario."""

from __future__ import annotations

import time
from collections.abc import Callable


class Later:
    """Actions, each of which is due at a time."""

    def __init__(self) -> None:
        self._actions: list[tuple[float, Callable[[], None]]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Acts after the given seconds."""
        self._actions.append((time.monotonic() + seconds, action))

    def do_what_is_due(self, everything: bool = False) -> None:
        """Called often; `everything`: also what is not due yet."""
        now = time.monotonic()
        due = [one for one in self._actions if everything or one[0] <= now]
        self._actions = [one for one in self._actions if one not in due]
        for _, action in due:
            action()

    @property
    def nothing_left(self) -> bool:
        """Whether no action is pending."""
        return not self._actions
