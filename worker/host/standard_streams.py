"""Standard input, output and error of a process that runs a step.

There is nothing to read. What the step prints becomes log records here (`PrintedLines`); what C libraries and child
processes write to descriptors 1 and 2 goes into pipes. Those are read by another process, the keeper: C code may write
more than a pipe holds while it has the interpreter lock, and no thread of this process could read then.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO, cast

from common.process.forks import in_children, keep_private
from worker.host.printed import PrintedLines

OUTPUTS = ((1, logging.INFO), (2, logging.WARNING))
"""Descriptors, and the level of what is written there."""


class StandardStreams:
    """The standard streams of this process after it has taken them over, until `restore`.

    Args:
        before: where descriptors 1 and 2 led.
        pipes: the ends to read, of what is written to descriptors 1 and 2.
        printed: what stands below `sys.stdout` and `sys.stderr`.

    Attributes:
        terminal: where descriptor 2 led before.
    """

    def __init__(self, before: Sequence[BinaryIO], pipes: Sequence[BinaryIO], printed: Sequence[PrintedLines]) -> None:
        self._before = before
        self.pipes = pipes
        self.printed = printed
        self.terminal = io.TextIOWrapper(before[1], "utf-8", "backslashreplace", write_through=True)

    @classmethod
    def take_over(cls, logger: logging.Logger) -> StandardStreams:
        """Takes the descriptors, and `sys.stdin`, `sys.stdout` and `sys.stderr`.

        Args:
            logger: of what the step prints.
        """
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed, or none
                stream.flush()
        before = [_copy(number) for number, _ in OUTPUTS]
        pipes: list[BinaryIO] = []
        for number, _ in OUTPUTS:
            reads, writes = os.pipe()
            os.dup2(writes, number)
            os.close(writes)
            # The end to read is kept here as well: a keeper that is killed has a successor, and until then nobody who
            # writes is ended by a broken pipe.
            pipes.append(os.fdopen(reads, "rb", buffering=0))
        keep_private(*before, *pipes)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        printed = [PrintedLines(logger, level, number) for number, level in OUTPUTS]
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 for the rest of the process's life
        sys.stdout, sys.stderr = (text_stream(lines) for lines in printed)
        for lines in printed:
            in_children(lines.be_of_child)
        return cls(before, pipes, printed)

    def restore(self) -> None:
        """Descriptors 1 and 2 lead where they led before; what was written before can still be read."""
        for (number, _), before in zip(OUTPUTS, self._before, strict=True):
            os.dup2(before.fileno(), number)


def text_stream(lines: PrintedLines) -> io.TextIOWrapper:
    """A stream as any program expects it. Nothing waits in it, since lines are put together for each thread."""
    buffer = cast(BinaryIO, lines)
    return io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", newline="\n", write_through=True)


def _copy(number: int) -> BinaryIO:
    try:
        return os.fdopen(os.dup(number), "wb", buffering=0)
    except OSError:  # it was closed by who started this process
        return open(os.devnull, "wb", buffering=0)
