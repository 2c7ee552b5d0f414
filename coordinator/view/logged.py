"""A reporter that also writes to the run's log."""

from __future__ import annotations

import contextlib
import time

from coordinator.runs.logfile import PipelineLog
from coordinator.view.view import Outcome, Reporter, RunView


class LoggedReporter:
    """Forwards everything, and writes messages to `log` too. A full disk must not silence the terminal."""

    def __init__(self, reporter: Reporter, log: PipelineLog) -> None:
        self._reporter = reporter
        self._log = log

    def update(self, view: RunView) -> None:
        """Shows the run as it is now."""
        self._reporter.update(view)

    def say(self, line: str) -> None:
        """Reports something worth a line."""
        self.note(line)
        self._reporter.say(line)

    def note(self, line: str) -> None:
        """Writes something to the log only."""
        with contextlib.suppress(OSError):
            self._log.write(time.time(), "INFO", line, by="coordinator")

    def finish(self, outcome: Outcome) -> None:
        """Reports the outcome. This is the last call."""
        self._reporter.finish(outcome)
