"""What a coordinator does when it has lost its broker: it gets it back, and becomes the coordinator again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from common.broker.connection import Connection, Disconnected
from common.broker.control import Control
from common.broker.runs import RunRegistry
from common.errors import Fenced
from common.settings import Settings
from coordinator.local import LocalHost

RETRY_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Recovery:
    """Waits for the broker, which may have forgotten the last writes, or all of them.

    Args:
        host: has started the broker, and starts it again; None for one that is not the command's own.
        steps: of the pipeline.
        open_run: makes the run known to a broker that knows nothing of it.
    """

    connection: Connection
    control: Control
    settings: Settings
    host: LocalHost | None
    steps: list[str]
    open_run: Callable[[], None]
    say: Callable[[str], None]

    def __call__(self, stop: threading.Event) -> None:
        """Returns when the run can go on, read anew.

        Args:
            stop: set when the run is asked to stop.

        Raises:
            Disconnected: the broker cannot be reached for as long as patience lasts, or until `stop` is set.
            Fenced: another coordinator has the run.
            BrokerError: it cannot be used.
        """
        while True:
            if self.host is not None:
                self.host.restart_broker()
            self.connection.wait_until_reachable(self.settings.patience, stop)
            try:
                self.connection.check()
                self._take_over(stop)
                self._make_known()
                return
            except Disconnected:
                if stop.wait(RETRY_SECONDS):
                    raise

    def _take_over(self, stop: threading.Event) -> None:
        """Where the broker has forgotten that this one took over, the lease of the one before has to run out again."""
        deadline = time.monotonic() + self.settings.coordinator_lease + RETRY_SECONDS
        while True:
            try:
                return self.control.take_over()
            except Fenced:
                if not self.control.is_forgotten() or time.monotonic() > deadline or stop.wait(RETRY_SECONDS):
                    raise

    def _make_known(self) -> None:
        run_id = self.control.keys.run_id
        if RunRegistry(self.connection).read(run_id) is None:
            self.say("the broker has lost what it held of this run, which starts from its beginning")
            self.open_run()
        else:
            self.control.ensure_groups(self.steps)
