"""Deletes unneeded files of the payload store: released ones, and orphans that no result ever named."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from common.errors import StoreError
from common.payloads.names import parse_name
from common.payloads.stores import FileStore
from coordinator.fold.batch_manager import BatchManager

LONGEST_SWEEP = 600.0
"""Longest time between two searches for orphans, in seconds."""
AGAIN_SECONDS = 60.0
"""Seconds until a failed deletion is retried."""

logger = logging.getLogger(__name__)


class FileKeeper:
    """The files of a run that are waiting to be deleted.

    A file is kept for some time after its release, since a broker that comes back without its last second undoes the
    release. An orphan is kept for some time after it was found: it may be a file of a worker that died before its
    commit or whose commit came too late, or a file released shortly before a coordinator died. What the journal turns
    out to need is kept.

    Listing and deleting may take long, so each runs on a separate thread, one at a time.

    Args:
        delay: seconds that a file is kept.
        manager: the fold, which knows what is needed.

    Attributes:
        bytes: size of the released files that still exist.
    """

    def __init__(self, files: FileStore, delay: float, manager: BatchManager) -> None:
        self.bytes = 0
        self._files = files
        self._delay = delay
        self._manager = manager
        self._since: dict[str, float] = {}
        self._sizes: dict[str, int] = {}
        self._next_sweep = 0.0
        self._listed: list[str] = []
        self._left: list[str] = []
        self._thread: threading.Thread | None = None

    def release(self, name: str, size: int, now: float) -> None:
        """Notes that the file is no longer needed.

        Args:
            size: bytes.
            now: the caller's clock, in seconds.
        """
        if name not in self._sizes:
            self._since.setdefault(name, now)
            self._sizes[name] = size
            self.bytes += size

    def tend(self, now: float) -> None:
        """Deletes what is due, and searches for orphans now and then; never waits."""
        if self._thread is not None and self._thread.is_alive():
            return
        listed, self._listed = self._listed, []
        for name in listed:
            if not is_needed(self._manager, name):
                self._since.setdefault(name, now)
        left, self._left = self._left, []
        self._since.update(dict.fromkeys(left, now + AGAIN_SECONDS - self._delay))
        due = [name for name, since in self._since.items() if now - since >= self._delay]
        if due:
            for name in due:
                del self._since[name]
                self.bytes -= self._sizes.pop(name, 0)
            self._start(partial(self._delete, [name for name in due if not is_needed(self._manager, name)]))
        elif now >= self._next_sweep:
            self._next_sweep = now + min(LONGEST_SWEEP, max(1.0, 2 * self._delay))
            self._start(self._list)

    def _start(self, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=work, name="files", daemon=True)
        self._thread.start()

    def _list(self) -> None:
        try:
            self._listed = self._files.names()
        except StoreError as error:
            logger.warning("cannot search for unneeded files at the moment: %s", error)

    def _delete(self, names: list[str]) -> None:
        try:
            self._files.delete(names)
        except StoreError as error:
            self._left = names
            logger.warning("cannot delete %d unneeded files at the moment: %s", len(names), error)


def is_needed(manager: BatchManager, name: str) -> bool:
    """Whether the journal names the file, or may still do so. Files that are not payloads of the run are kept."""
    if name in manager.holdings.files:
        return True
    made = parse_name(name)
    state = manager.steps.get(made.step) if made else None
    if made is None or state is None:
        return True
    if state.plan.kind == "generator":
        return not state.input_ended and made.seq >= state.inflow.next_seq  # it produces batches ahead of commits
    return state.awaits(0 if state.plan.kind == "global" else made.seq, made.attempt)
