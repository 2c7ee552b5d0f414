"""What a coordinator does when it has lost its broker: it gets it back, and becomes the coordinator again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from common.broker.connection import Connection
from common.broker.control import RETRY_SECONDS, Control
from common.broker.runs import RunRegistry
from common.errors import Disconnected
from common.settings import Settings
from coordinator.local import LocalHost


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
                self.control.regain(stop)
                self._make_known()
                return
            except Disconnected:
                if stop.wait(RETRY_SECONDS):
                    raise

    def _make_known(self) -> None:
        run_id = self.control.keys.run_id
        if RunRegistry(self.connection).read(run_id) is None:
            self.say("the broker has lost what it held of this run, which starts from its beginning")
            self.open_run()
        else:
            self.control.ensure_groups(self.steps)
