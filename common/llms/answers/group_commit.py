"""Writes of a store, committed together in a thread: every tenth of a second, or when there are many."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

SECONDS = 0.1
MOST = 1024


class GroupCommit(Generic[T]):
    """A thread that passes on what it is given, in order.

    Args:
        begin: called first in the thread.
        commit: called there with some items. Neither may raise.
    """

    def __init__(self, begin: Callable[[], None], commit: Callable[[Sequence[T]], None]) -> None:
        self._begin = begin
        self._commit = commit
        self._items: deque[T] = deque()
        self._some = threading.Event()
        self._enough = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def put(self, item: T) -> None:
        """Does not wait. Waking the thread for each item would cost more than the rest."""
        self._items.append(item)
        if not self._some.is_set():
            self._some.set()
        if len(self._items) >= MOST and not self._enough.is_set():
            self._enough.set()

    def close(self) -> None:
        """Returns when everything is committed."""
        self._is_closing = True
        self._enough.set()
        self._some.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        self._begin()
        while True:
            self._some.wait()
            self._enough.wait(SECONDS)
            self._some.clear()
            self._enough.clear()
            is_last = self._is_closing  # after the events are cleared, so that `close` is heard now or wakes the thread
            items: list[T] = []
            while self._items:
                items.append(self._items.popleft())
            if items:
                self._commit(items)
            if is_last:
                return
