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
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, BinaryIO, cast

from common.broker.work import WorkQueue
from common.errors import BrokerError
from common.forks import in_children
from common.printable import PrintableFormatter

if TYPE_CHECKING:
    from typing_extensions import Buffer

WAITING = 10_000
"""Lines that are kept while the broker cannot take them; older ones are dropped, and their number is said."""

LONGEST_TEXT = 20_000
MOST_OF_A_LINE = 1_000_000
"""Bytes of a line that has not ended, such as a progress bar's; its last ones."""
LINES_A_SECOND = 1_000
BYTES_A_SECOND = 200_000
"""Of what a step prints to one stream: a weekend of it must not fill the disk, nor a burst of it the broker."""


class LogShipper(logging.Handler):
    """Collects records; `ship` sends them."""

    def __init__(self, step: str, worker_id: str) -> None:
        super().__init__()
        self._step = step
        self._worker = worker_id
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._guard = threading.Lock()
        self.say_first: Sequence[Callable[[], None]] = ()
        """Called before anything is sent."""

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
            "text": message[: LONGEST_TEXT + 100],
        }
        with self._guard:
            self._lines.append(json.dumps(line).encode())
            if len(self._lines) > WAITING:
                self._lines.popleft()
                self._dropped += 1

    def ship(self, queue: WorkQueue) -> None:
        """Sends what has been collected; keeps it when the broker cannot take it now."""
        for say in self.say_first:
            say()
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


class PrintedLines(io.RawIOBase):
    """What stands below the standard output or error of a step: what is printed becomes log records, line by line.

    A step that prints more than `LINES_A_SECOND` or `BYTES_A_SECOND` goes on at its own speed; what is too much is
    dropped and counted. Of a line that was overwritten by carriage returns, as progress bars do, the last state counts.

    Args:
        descriptor: of the process, for what wants one, such as `subprocess`.
    """

    def __init__(self, logger: logging.Logger, level: int, descriptor: int) -> None:
        self._logger = logger
        self._level = level
        self._descriptor = descriptor
        self._partial = threading.local()
        self._second = 0.0
        self._lines = self._bytes = 0
        self._dropped = 0

    def writable(self) -> bool:
        """It takes bytes."""
        return True

    def fileno(self) -> int:
        """What is written to the descriptor itself is not logged line by line: it goes where the worker's own goes."""
        return self._descriptor

    def write(self, data: Buffer) -> int:
        """Logs every full line; bytes that are no UTF-8 are shown as escapes."""
        said = bytes(data)
        if time.monotonic() - self._second > 1:
            self._second, self._lines, self._bytes = time.monotonic(), 0, 0
        self._bytes += len(said)
        if self._bytes > BYTES_A_SECOND or self._lines >= LINES_A_SECOND:
            self._dropped += said.count(b"\n")
            self._partial.text, self._partial.is_torn = b"", not said.endswith(b"\n")
            return len(said)
        *lines, rest = (getattr(self._partial, "text", b"") + said).split(b"\n")
        if lines and getattr(self._partial, "is_torn", False):  # its beginning was dropped
            self._partial.is_torn = False
            self._dropped += 1
            del lines[0]
        kept = lines[: LINES_A_SECOND - self._lines]
        self._lines += len(kept)
        self._dropped += len(lines) - len(kept)
        self._partial.text = rest[-MOST_OF_A_LINE:]
        for line in kept:
            self._log(line.rstrip(b"\r").rpartition(b"\r")[2])
        return len(said)

    def _log(self, line: bytes) -> None:
        if line.strip():
            cut = f" [cut: {len(line):,} bytes]" if len(line) > LONGEST_TEXT else ""
            self._logger.log(self._level, "%s%s", line[:LONGEST_TEXT].decode("utf-8", "backslashreplace"), cut)

    def say_dropped(self) -> None:
        """Logs how many lines were too many since the last time."""
        dropped, self._dropped = self._dropped, 0
        if dropped:
            self._logger.warning(
                "%s printed lines were dropped: the step prints more than %s lines or %s KB a second",
                *(f"{number:,}" for number in (dropped, LINES_A_SECOND, BYTES_A_SECOND // 1000)),
            )


def collect_output(step: str, worker_id: str, *, echo: bool) -> LogShipper:
    """Sends the process's log records and what its step prints to the returned shipper; `echo` to the terminal too."""
    shipper = LogShipper(step, worker_id)
    root = logging.getLogger()
    root.handlers[:] = [shipper]
    root.setLevel(logging.WARNING)
    logging.getLogger("penstock").setLevel(logging.INFO)
    if echo:
        terminal = logging.StreamHandler(sys.__stderr__)
        terminal.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
        root.addHandler(terminal)
    printed = logging.getLogger(f"penstock.step.{step}")
    outputs = PrintedLines(printed, logging.INFO, 1), PrintedLines(printed, logging.WARNING, 2)
    sys.stdout, sys.stderr = (_text(lines) for lines in outputs)
    shipper.say_first = [lines.say_dropped for lines in outputs]
    in_children(lambda: _write_in_child(step))
    return shipper


def _text(lines: PrintedLines) -> io.TextIOWrapper:
    """A stream as any program expects it. Nothing waits in it, since lines are put together for each thread."""
    buffer = cast(BinaryIO, lines)
    return io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", newline="\n", write_through=True)


def _write_in_child(step: str) -> None:
    """In a process that a step has forked, which nobody ships for: what it says is written where the worker's goes."""
    handler = logging.StreamHandler(sys.__stderr__)
    line = logging.Formatter(
        f"%(asctime)s.%(msecs)03dZ %(levelname)s step={step} pid={os.getpid()} %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    line.converter = time.gmtime
    handler.setFormatter(line)
    logging.getLogger().handlers[:] = [handler]
