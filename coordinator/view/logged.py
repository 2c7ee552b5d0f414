"""A reporter whose words stand in the run's log as well."""

from __future__ import annotations

import contextlib
import time

from coordinator.runs.logfile import PipelineLog
from coordinator.view.view import Outcome, Reporter, RunView


class LoggedReporter:
    """Hands everything on; what is said goes to `log` too. A full disk must not silence the terminal."""

    def __init__(self, reporter: Reporter, log: PipelineLog) -> None:
        self._reporter = reporter
        self._log = log

    def update(self, view: RunView) -> None:
        """The run as it is now."""
        self._reporter.update(view)

    def say(self, line: str) -> None:
        """Something worth a line of its own."""
        self.note(line)
        self._reporter.say(line)

    def note(self, line: str) -> None:
        """Something for the log alone."""
        with contextlib.suppress(OSError):
            self._log.write(time.time(), "INFO", line, by="coordinator")

    def finish(self, outcome: Outcome) -> None:
        """The last call."""
        self._reporter.finish(outcome)
