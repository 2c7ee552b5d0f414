"""How long a run has been without a coordinator: workers wait for the next one, but not for ever."""

from __future__ import annotations

import logging
import time

from common.broker.runs import RunRegistry

logger = logging.getLogger("penstock.worker")


class Absence:
    """Watches the coordinator's lease of a run, for a worker.

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
        """Looks whether anybody coordinates the run. To be done before its status is read: a run that ends has none."""
        if self._registry.is_coordinated(self._run_id):
            if self._said:
                logger.info("run '%s' has a coordinator again", self._run_id)
            self.forget()
        elif self._since is None:
            self._since = time.monotonic()

    def forget(self) -> None:
        """Begins anew: a broker that was away has kept everybody from renewing a lease."""
        self._since, self._said = None, False

    def is_too_long(self) -> bool:
        """Has it lasted for longer than the timeout? Says once that it has begun, and what follows."""
        if self._since is None:
            return False
        if time.monotonic() - self._since >= self._timeout:
            logger.error(
                "run '%s' has had no coordinator for %g s: this worker leaves, its batches are handed back. Go on with "
                "the run by its own command, and start this worker again; --coordinator-timeout waits for longer",
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
