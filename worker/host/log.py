"""Log records and printed lines on their way to the run's `pipeline.log`, from any host."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TextIO

from common.broker.reports import LogLines
from common.errors import RunError
from common.process.forks import in_children
from common.words.printable import PrintableFormatter
from worker.host.printed import BYTES_A_SECOND, LINES_A_SECOND, LONGEST_TEXT, Allowance

WAITING = 10_000
WAITING_BYTES = 4_000_000
"""Lines kept while the broker cannot accept them; older lines are dropped and counted."""

logger = logging.getLogger("penstock.worker")


class LogShipper(logging.Handler):
    """Collects records; `ship` sends them. A step's log is bounded like its printed output."""

    def __init__(self, step: str, worker_id: str) -> None:
        super().__init__()
        self.step = step
        self.worker_id = worker_id
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._lost = 0
        self._allowance = Allowance()
        self._guard = threading.Lock()
        self.say_first: Sequence[Callable[[], None]] = ()
        """Called before anything is sent."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to send."""
        return not self._lines

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record until the next `ship`."""
        try:
            message = record.getMessage()
        except Exception:  # a step's own mistake in a log call must not fail its rows
            message = f"{record.msg} (with {record.args!r}, which does not fit)"
        if record.exc_info:
            message += "\n" + logging.Formatter().formatException(record.exc_info)
        if len(message) > LONGEST_TEXT + 100:
            message = f"{message[:LONGEST_TEXT]} [cut: {len(message):,} characters]"
        # Printed lines were counted before, and the worker's own records are needed to understand the rest.
        is_bounded = not getattr(record, "printed", False) and record.name != logger.name
        if is_bounded and not self._allowance.take(len(message)):
            return
        line = {
            "time": record.created,
            "level": record.levelname,
            "step": self.step,
            "worker": self.worker_id,
            "text": message,
        }
        self._keep([json.dumps(line).encode()])

    def ship(self, log: LogLines) -> None:
        """Sends the collected records; keeps them if the broker cannot accept them now."""
        for say in self.say_first:
            say()
        self._say_dropped()
        with self._guard:
            lines, self._lines, self._bytes = self._lines, deque(), 0
        if not lines:
            return
        try:
            pushed_out = log.send(lines)
        except RunError:
            with self._guard:
                later, self._lines, self._bytes = self._lines, deque(), 0
            self._keep([*lines, *later])
            return
        if pushed_out:  # logged next time: at the broker it would displace others
            with self._guard:
                self._lost += pushed_out

    def _keep(self, lines: Sequence[bytes]) -> None:
        with self._guard:
            self._lines.extend(lines)
            self._bytes += sum(map(len, lines))
            while len(self._lines) > WAITING or self._bytes > WAITING_BYTES:
                self._bytes -= len(self._lines.popleft())
                self._lost += 1

    def _say_dropped(self) -> None:
        with self._guard:
            lost, self._lost = self._lost, 0
        if lost:
            logger.warning("%s log lines were dropped: too many wait to be written to the log", f"{lost:,}")
        if dropped := self._allowance.dropped():
            logger.warning(
                "%s log records of step '%s' were dropped: it logs more than %s lines or %s KB a second",
                *(f"{dropped:,}", self.step, f"{LINES_A_SECOND:,}", BYTES_A_SECOND // 1000),
            )


def collect_records(shipper: LogShipper, *, echo: TextIO | None) -> None:
    """Sends the process's log records to the shipper; to the terminal `echo` too.

    Forked processes have no shipper: their records are written to standard error.
    """
    root = logging.getLogger()
    root.handlers[:] = [shipper]
    root.setLevel(logging.WARNING)
    logging.getLogger("penstock").setLevel(logging.INFO)
    if echo is not None:
        terminal = logging.StreamHandler(echo)
        terminal.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
        root.addHandler(terminal)
    in_children(_write_in_child)


def _write_in_child() -> None:
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(logging.Formatter("%(levelname)s pid=%(process)d %(message)s"))
    logging.getLogger().handlers[:] = [handler]


def end_of_worker(shipper: LogShipper) -> None:
    """Later records are not shipped, since the run may have ended: they are written in the log's format."""
    handler = logging.StreamHandler(sys.__stderr__)
    line = logging.Formatter(
        f"%(asctime)s.%(msecs)03dZ %(levelname)s step={shipper.step} worker={shipper.worker_id} %(message)s",
        "%Y-%m-%dT%H:%M:%S",
    )
    line.converter = time.gmtime
    handler.setFormatter(line)
    logging.getLogger().handlers[:] = [handler]
