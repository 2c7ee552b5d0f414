"""Ends a worker whose step exceeds its `batch_timeout`: a call that hangs cannot be ended in any other way."""

from __future__ import annotations

import contextlib
import faulthandler
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator

LAST_SECONDS = 5.0
"""Seconds in which the worker hands back batches it has not started, and says why it leaves."""


class Watchdog:
    """Watches calls of a step that must not take too long.

    A thread ends the process when one does. A call that holds the interpreter lock blocks that thread: then
    `faulthandler`, which needs no lock, ends the process some seconds later.

    Args:
        limit: seconds that a call may take; None for no limit.
        leave: called on the thread with the position of the call; does not return.
    """

    def __init__(self, limit: float | None, leave: Callable[[str], None]) -> None:
        self.limit = limit
        self._leave = leave
        self._deadline = 0.0
        self._watched = 0
        self._changed = threading.Condition()
        self._expired = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """The call inside the block has `limit` seconds."""
        if self.limit is None:
            yield
            return
        self.restart()
        try:
            yield
        finally:
            self.stop()

    def restart(self) -> None:
        """Starts the clock: `stop` or the next `restart` must follow within `limit` seconds."""
        if self.limit is None:
            return
        with self._changed:
            self._hold_back()
            self._deadline = time.monotonic() + self.limit
            self._watched = threading.get_ident()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            self._changed.notify()
        if sys.__stderr__ is not None:
            faulthandler.dump_traceback_later(self.limit + LAST_SECONDS + 1, exit=True, file=sys.__stderr__)

    def stop(self) -> None:
        """Stops the clock."""
        if self.limit is None:
            return
        with self._changed:
            self._hold_back()
            self._deadline = 0.0
        faulthandler.cancel_dump_traceback_later()

    def _hold_back(self) -> None:
        """A call that returns just after its time has run out must not continue: the process is about to end."""
        while self._expired.is_set():
            self._changed.wait()

    def _run(self) -> None:
        with self._changed:
            while True:
                left = self._deadline - time.monotonic() if self._deadline else None
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            self._expired.set()
        self._leave(where_is(self._watched))


def where_is(thread: int) -> str:
    """The call stack of a thread, as in a traceback."""
    frame = sys._current_frames().get(thread)
    return "".join(traceback.format_stack(frame)) if frame else ""
