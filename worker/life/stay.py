"""`--stay`: one run after another, as a service serves them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from common.broker.connection import Connection
from common.broker.runs import RunRecord
from common.errors import EXIT_COMPLETE, EXIT_STOPPED
from worker.life.finder import Finder
from worker.life.supervisor import Supervisor

PAUSE_SECONDS = 0.5
"""Before the next look for a run: one that goes on may have no work for this step any more."""


class Stay:
    """Serves runs until it is told to stop. Each has processes of its own, so that none sees modules of another one.

    Args:
        finder: waits for a run.
        supervise: makes what starts the processes for a run.
    """

    def __init__(
        self,
        connection: Connection,
        finder: Finder,
        supervise: Callable[[RunRecord], Supervisor],
    ) -> None:
        self._connection = connection
        self._finder = finder
        self._supervise = supervise
        self._stopped = threading.Event()
        self._supervisor: Supervisor | None = None

    def run(self) -> int:
        """Returns the exit code: that of a run's worst process, as soon as one is not 0 and the run is still there."""
        code = EXIT_COMPLETE
        while code == EXIT_COMPLETE and not self._stopped.wait(PAUSE_SECONDS):
            record = self._finder.find(self._stopped)
            if record is None:
                break
            self._connection.close()  # processes that are forked would have its socket
            self._supervisor = self._supervise(record)
            if not self._stopped.is_set():
                code = self._supervisor.run()
                if self._supervisor.run_is_gone:
                    code = EXIT_COMPLETE
        return code

    def stop(self) -> None:
        """Finishes the batches in hand, hands the rest back, and then `run` ends; from any thread."""
        self._stopped.set()
        if self._supervisor is not None:
            self._supervisor.stop()

    def kill(self) -> None:
        """Ends every process, and this one, at once."""
        if self._supervisor is not None:
            self._supervisor.kill()
        os._exit(EXIT_STOPPED)
