"""The loading of a step; a worker that must leave does not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Loading:
    """Tracks whether the step is being loaded."""

    def __init__(self) -> None:
        self._ends = threading.Condition()
        self.is_under_way = False

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """The step is loaded inside the block."""
        self.is_under_way = True
        try:
            yield
        finally:
            with self._ends:
                self.is_under_way = False
                self._ends.notify_all()

    def ends_within(self, seconds: float) -> bool:
        """Waits for the end of the block; returns whether it was reached."""
        with self._ends:
            return self._ends.wait_for(lambda: not self.is_under_way, seconds)
