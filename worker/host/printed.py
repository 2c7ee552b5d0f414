"""Printed lines on their way to the log, within bounds."""

from __future__ import annotations

import io
import logging
import os
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

LONGEST_TEXT = 19_900
"""Characters of a line. Readers of the log streams accept 20,000, including the note about the cut."""
LINES_A_SECOND = 1_000
BYTES_A_SECOND = 200_000
"""Limits of a step's output to one stream: a weekend of it must not fill the disk, nor a burst the broker."""
LINES_BEGUN = 100
"""Unfinished lines kept, one per thread; beyond that, the oldest is logged as it is."""
PRINTED = {"printed": True}
"""Marks records of printed lines, which are already within bounds."""


class Allowance:
    """Limits lines and bytes per second; the excess is counted."""

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._second = 0.0
        self._lines = self._bytes = 0
        self._dropped = 0

    def take(self, size: int) -> bool:
        """Whether a line of this many bytes may be logged now. If not, it counts as dropped."""
        with self._guard:
            self._begin_second()
            if not self._is_left:
                self._dropped += 1
                return False
            self._lines += 1
            self._bytes += size
            return True

    def is_left(self) -> bool:
        """Whether another line may be logged now."""
        with self._guard:
            self._begin_second()
            return self._is_left

    def drop(self, lines: int) -> None:
        """Counts lines as dropped."""
        with self._guard:
            self._dropped += lines

    def dropped(self) -> int:
        """Lines dropped since the last call."""
        with self._guard:
            dropped, self._dropped = self._dropped, 0
            return dropped

    @property
    def _is_left(self) -> bool:
        return self._lines < LINES_A_SECOND and self._bytes < BYTES_A_SECOND

    def _begin_second(self) -> None:
        now = time.monotonic()
        if now - self._second > 1:
            self._second, self._lines, self._bytes = now, 0, 0


class Line:
    """An unfinished line. Its beginning is kept, and its length.

    If carriage returns overwrite a line, as progress bars do, the last state counts.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Starts the next line."""
        self._text = b""
        self._length = 0
        self._returned = False
        self.is_torn = False
        """Was its beginning dropped?"""

    def add(self, said: bytes, start: int, stop: int) -> None:
        """Appends bytes `start` to `stop` of the output, which may be far longer than a kept line."""
        end = stop
        while end > start and said[end - 1] == 0x0D:
            end -= 1
        if end > start:
            after = said.rfind(b"\r", start, end) + 1
            if after or self._returned:
                self._text, self._length = b"", 0
            begin = after or start
            self._text += said[begin : min(end, begin + LONGEST_TEXT - len(self._text))]
            self._length += end - begin
            self._returned = False
        self._returned = self._returned or end < stop

    def __str__(self) -> str:
        if not self._text.strip() and self._length <= LONGEST_TEXT:
            return ""
        cut = f" [cut: {self._length:,} bytes]" if self._length > LONGEST_TEXT else ""
        return self._text.decode("utf-8", "backslashreplace") + cut

    def __bool__(self) -> bool:
        """Whether it is non-empty."""
        return bool(self._length or self._returned or self.is_torn)


class PrintedLines(io.RawIOBase):
    """The stream below a step's standard output or error: printed text becomes log records, line by line.

    A step that prints more than `LINES_A_SECOND` or `BYTES_A_SECOND` is not slowed down; the excess is dropped and
    counted. In a process forked by the step, whole lines go to the descriptor instead.

    Args:
        descriptor: of the process, for users that need one, such as `subprocess`.
        of_threads: whether lines are assembled per writing thread; if not, for all together.
    """

    def __init__(self, logger: logging.Logger, level: int, descriptor: int, *, of_threads: bool = True) -> None:
        self._logger = logger
        self._level = level
        self._descriptor = descriptor
        self._allowance = Allowance()
        self._writer = threading.local() if of_threads else None
        self._begun: OrderedDict[object, Line] = OrderedDict()
        self._of_child: bytes | None = None

    def writable(self) -> bool:
        """Whether it accepts bytes: always."""
        return True

    def fileno(self) -> int:
        """Output to the descriptor itself is logged as well: see `StandardStreams`."""
        return self._descriptor

    def write(self, data: Buffer) -> int:
        """Logs every full line; bytes that are not UTF-8 are escaped."""
        said = bytes(data)
        if self._of_child is not None:
            return self._write_in_child(said)
        writer = self._writer_now()
        line = self._begun.pop(writer, None) or Line()
        start = 0
        while (end := said.find(b"\n", start)) != -1:
            if not self._allowance.is_left():
                self._allowance.drop(said.count(b"\n", start))
                line.clear()
                start = said.rfind(b"\n") + 1
                break
            line.add(said, start, end)
            self._log(line)
            start = end + 1
        if start < len(said):
            if not line and not self._allowance.is_left():
                line.is_torn = True
            line.add(said, start, len(said))
        if line:
            if len(self._begun) >= LINES_BEGUN:
                self._end_one()
            self._begun[writer] = line
        return len(said)

    def end_lines(self) -> None:
        """No more output will come: logs unfinished last lines, also of ended threads."""
        while self._begun:
            self._end_one()

    def _end_one(self) -> None:
        with suppress(KeyError):  # another thread, or a signal handler, took the last one at this moment
            self._log(self._begun.popitem(last=False)[1])

    def _writer_now(self) -> object:
        """Identifies this thread, and no later one with the same number."""
        if self._writer is None:
            return None
        if not hasattr(self._writer, "mark"):
            self._writer.mark = object()
        return self._writer.mark

    def _log(self, line: Line) -> None:
        text = str(line)
        if line.is_torn:
            self._allowance.drop(1)
        elif text and self._allowance.take(len(text)):
            self._logger.log(self._level, "%s", text, extra=PRINTED)
        line.clear()

    def say_dropped(self) -> None:
        """Logs how many lines were dropped since the last time."""
        if dropped := self._allowance.dropped():
            self._logger.warning(
                "%s printed lines were dropped: the step prints more than %s lines or %s KB a second",
                *(f"{number:,}" for number in (dropped, LINES_A_SECOND, BYTES_A_SECOND // 1000)),
                extra=PRINTED,
            )

    # in a process forked by the step

    def be_of_child(self) -> None:
        """From now on, lines are written to the descriptor."""
        self._of_child = b""

    def _write_in_child(self, said: bytes) -> int:
        lines, end, rest = ((self._of_child or b"") + said).rpartition(b"\n")
        if len(rest) > LONGEST_TEXT:
            lines, end, rest = lines + end + rest, b"", b""
        self._of_child = rest
        self._write_out(lines + end)
        return len(said)

    def flush(self) -> None:
        """A child writes its part of a line; nothing joins it with later parts."""
        if self._of_child:
            rest, self._of_child = self._of_child, b""
            self._write_out(rest)

    def _write_out(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]
