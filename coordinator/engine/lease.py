"""Keeps the coordinator's lease alive while its loop is busy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from common.broker.control import Control
from common.errors import Fenced, RunError
from common.settings import Settings


class LeaseKeeper:
    """A thread that renews the coordinator's lease while the block runs.

    Args:
        lost: called on this thread when another coordinator has taken over.
    """

    def __init__(self, control: Control, settings: Settings, lost: Callable[[Fenced], None]) -> None:
        self._control = control
        self._seconds = settings.coordinator_renewal
        self._lost = lost
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops renewing; the lease expires unless it is released."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        refused = ""
        while not self._ended.wait(self._seconds):
            epoch = self._control.epoch
            try:
                self._control.renew()
                refused = ""
            except Fenced as error:
                # The first time may be this coordinator itself, about to learn its own new epoch.
                if refused == epoch:
                    self._lost(error)
                    return
                refused = epoch
            except RunError:
                continue
