"""How long a run has been without a coordinator: workers wait for the next one, but not forever."""

from __future__ import annotations

import logging
import time

from common.broker.runs import RunRegistry

logger = logging.getLogger("penstock.worker")


class Absence:
    """Watches the coordinator's lease of a run, on behalf of a worker.

    Args:
        timeout: seconds that a run may be without a coordinator.
    """

    def __init__(self, registry: RunRegistry, run_id: str, timeout: float) -> None:
        self._registry = registry
        self._run_id = run_id
        self._timeout = timeout
        self._since: float | None = None
        self._said = False

    def look(self) -> None:
        """Checks whether the run has a coordinator. Call it before reading the status: a run that ends has none."""
        if self._registry.is_coordinated(self._run_id):
            if self._said:
                logger.info("run '%s' has a coordinator again", self._run_id)
            self.forget()
        elif self._since is None:
            self._since = time.monotonic()

    def forget(self) -> None:
        """Starts over: while the broker was away, nobody could renew a lease."""
        self._since, self._said = None, False

    def is_too_long(self) -> bool:
        """Whether the absence has exceeded the timeout. Logs once that it began, and what follows."""
        if self._since is None:
            return False
        if time.monotonic() - self._since >= self._timeout:
            logger.error(
                "run '%s' has had no coordinator for %g s: this worker leaves and hands its batches back. "
                "Rerun the run's command to resume it, and restart this worker; with a longer --coordinator-timeout "
                "workers wait longer",
                self._run_id,
                self._timeout,
            )
            return True
        if not self._said:
            self._said = True
            logger.warning(
                "run '%s' has no coordinator; waiting up to %g s for the next one", self._run_id, self._timeout
            )
        return False
