"""`--stay`: serves one run after another, as a service."""

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
"""Seconds before the next look for a run: a running one may have no more work for this step."""


class Stay:
    """Serves runs until it is told to stop. Each run has its own processes, so that none sees another's modules.

    Args:
        finder: waits for a run.
        supervise: makes the supervisor of a run's processes.
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
        """Returns the exit code: that of a run's worst process, once one is not 0 and the run still exists."""
        code = EXIT_COMPLETE
        while code == EXIT_COMPLETE and not self._stopped.wait(PAUSE_SECONDS):
            record = self._finder.find(self._stopped)
            if record is None:
                break
            self._connection.close()  # forked processes would share its socket
            self._supervisor = self._supervise(record)
            if not self._stopped.is_set():
                code = self._supervisor.run()
                if self._supervisor.run_is_gone:
                    code = EXIT_COMPLETE
        return code

    def stop(self) -> None:
        """Finishes the batches in hand and hands the rest back; then `run` ends. From any thread."""
        self._stopped.set()
        if self._supervisor is not None:
            self._supervisor.stop()

    def kill(self) -> None:
        """Ends every process, and this one, at once."""
        if self._supervisor is not None:
            self._supervisor.kill()
        os._exit(EXIT_STOPPED)
