"""Log records and printed lines on their way to the run's `pipeline.log`, from whatever host the worker is on."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
import time
from collections import deque
from typing import TextIO

from common.broker.work import WorkQueue
from common.errors import BrokerError
from common.forks import in_children

WAITING = 10_000
"""Lines that are kept while the broker cannot take them; older ones are dropped, and their number is said."""


class LogShipper(logging.Handler):
    """Collects records; `ship` sends them."""

    def __init__(self, step: str, worker_id: str) -> None:
        super().__init__()
        self._step = step
        self._worker = worker_id
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._guard = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record until the next `ship`."""
        try:
            message = record.getMessage()
        except Exception:  # a step's own mistake in a log call must not fail its rows
            message = f"{record.msg} (with {record.args!r}, which does not fit)"
        if record.exc_info:
            message += "\n" + logging.Formatter().formatException(record.exc_info)
        line = {
            "time": record.created,
            "level": record.levelname,
            "step": self._step,
            "worker": self._worker,
            "text": message[:20_000],
        }
        with self._guard:
            self._lines.append(json.dumps(line).encode())
            if len(self._lines) > WAITING:
                self._lines.popleft()
                self._dropped += 1

    def ship(self, queue: WorkQueue) -> None:
        """Sends what has been collected; keeps it when the broker cannot take it now."""
        with self._guard:
            lines = list(self._lines)
            dropped, self._dropped = self._dropped, 0
        if dropped:
            logging.getLogger("penstock.worker").warning("%d log lines were dropped", dropped)
        if not lines:
            return
        try:
            queue.report(lines)
        except BrokerError:
            return
        with self._guard:
            for _ in lines:
                self._lines.popleft()


class PrintedLines(io.TextIOBase):
    """Stands in for standard output or error: what a step prints becomes log records, line by line.

    Args:
        echo: where the lines go as well; None for nowhere.
    """

    def __init__(self, logger: logging.Logger, level: int, echo: TextIO | None) -> None:
        self._logger = logger
        self._level = level
        self._echo = echo
        self._partial = threading.local()

    def writable(self) -> bool:
        """It takes text."""
        return True

    def write(self, text: str) -> int:
        """Logs every full line."""
        if self._echo is not None:
            self._echo.write(text)
        *lines, rest = (getattr(self._partial, "text", "") + text).split("\n")
        self._partial.text = rest
        for line in lines:
            if line.strip():
                self._logger.log(self._level, "%s", line)
        return len(text)

    def flush(self) -> None:
        """Lines are logged when they end."""
        if self._echo is not None:
            self._echo.flush()


def collect_output(step: str, worker_id: str, *, echo: bool) -> LogShipper:
    """Sends the process's log records and what its step prints to the returned shipper; `echo` to the terminal too."""
    shipper = LogShipper(step, worker_id)
    root = logging.getLogger()
    root.handlers[:] = [shipper]
    root.setLevel(logging.WARNING)
    logging.getLogger("penstock").setLevel(logging.INFO)
    if echo:
        terminal = logging.StreamHandler(sys.__stderr__)
        terminal.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
        root.addHandler(terminal)
    printed = logging.getLogger(f"penstock.step.{step}")
    sys.stdout = PrintedLines(printed, logging.INFO, None)
    sys.stderr = PrintedLines(printed, logging.WARNING, None)
    in_children(lambda: _write_in_child(step))
    return shipper


def _write_in_child(step: str) -> None:
    """In a process that a step has forked, which nobody ships for: what it says is written where the worker's goes."""
    handler = logging.StreamHandler(sys.__stderr__)
    line = logging.Formatter(
        f"%(asctime)s.%(msecs)03dZ %(levelname)s step={step} pid={os.getpid()} %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    line.converter = time.gmtime
    handler.setFormatter(line)
    logging.getLogger().handlers[:] = [handler]
