"""Tracebacks of failing rows in the log: the first few in full, since a million of them help nobody."""

from __future__ import annotations

import logging

SHOWN = 10


class Complaints:
    """Logs the errors that a step raises."""

    def __init__(self, step: str) -> None:
        self._logger = logging.getLogger(f"penstock.step.{step}")
        self._seen = 0

    def note(self, what: str, error: BaseException) -> None:
        """Logs an error that ended the attempts at `what`, unless many were logged already."""
        self._seen += 1
        if self._seen <= SHOWN:
            self._logger.warning("%s failed", what, exc_info=error)
        elif self._seen == SHOWN + 1:
            self._logger.warning("%s failed; from here on only the dead letters say why", what)
