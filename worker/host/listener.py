"""Reads the output of a step's C libraries and child processes on descriptors 1 and 2, and ships it as log records.

It runs in the keeper, which the step cannot block, and which outlives a killed worker.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from common.broker.reports import LogLines
from worker.host.log import LogShipper, end_of_worker
from worker.host.printed import PrintedLines
from worker.host.standard_streams import OUTPUTS

SHIP_SECONDS = 0.25
DRAIN_SECONDS = 2.0
"""Most seconds for draining the pipes: a child may keep writing forever."""
AT_ONCE = 1 << 16
"""Bytes that a pipe holds."""


class Listener:
    """A thread that reads the pipes, and one that ships their content: a slow broker never blocks the writers.

    Args:
        pipes: descriptors of the ends to read, in the order of `OUTPUTS`.
        logger: of the resulting records.
        shipper: receives the records.
    """

    def __init__(self, pipes: Sequence[int], logger: logging.Logger, shipper: LogShipper, log: LogLines) -> None:
        self._lines = {
            pipe: PrintedLines(logger, level, pipe, of_threads=False)
            for pipe, (_, level) in zip(pipes, OUTPUTS, strict=True)
        }
        self._open = set(pipes)
        self._shipper = shipper
        self._log = log
        self._reading = threading.Lock()
        self._shipping = threading.Lock()
        self._has_news = threading.Event()
        self._has_ended = threading.Event()
        shipper.say_first = [lines.say_dropped for lines in self._lines.values()]

    def start(self) -> None:
        """Begins to read and to ship."""
        for pipe in self._open:
            os.set_blocking(pipe, False)
        threading.Thread(target=self._listen, name="listener", daemon=True).start()
        threading.Thread(target=self._ship_news, name="log", daemon=True).start()

    def drain(self) -> None:
        """Ships everything written so far."""
        end = time.monotonic() + DRAIN_SECONDS
        with self._reading:
            while self._read(0) and time.monotonic() < end:
                pass
            self._end_lines()
        self._ship()

    def outlast_children(self) -> None:
        """The worker has ended; processes it left behind may keep writing, and must never meet a broken or full pipe.

        Returns when no process has them open.
        """
        self._has_ended.set()
        with self._reading:
            end_of_worker(self._shipper)
            while self._read(None):
                pass
            self._end_lines()

    def _listen(self) -> None:
        while self._open:
            select.select(list(self._open), [], [])
            with self._reading:
                if self._has_ended.is_set():
                    return
                self._read(0)
            self._has_news.set()

    def _ship_news(self) -> None:
        while not self._has_ended.wait(SHIP_SECONDS):
            if self._shipper.is_empty:
                self._has_news.wait()
            self._has_news.clear()
            self._ship()

    def _ship(self) -> None:
        with self._shipping:
            self._shipper.ship(self._log)

    def _end_lines(self) -> None:
        for lines in self._lines.values():
            lines.end_lines()

    def _read(self, timeout: float | None) -> bool:
        """Reads each pipe once; returns False if there was nothing to read or no writer is left."""
        if not self._open:
            return False
        ready = select.select(list(self._open), [], [], timeout)[0]
        for pipe in ready:
            with suppress(BlockingIOError):
                if said := os.read(pipe, AT_ONCE):
                    self._lines[pipe].write(said)
                else:
                    self._open.discard(pipe)
        return bool(ready)
