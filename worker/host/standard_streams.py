"""Standard input, output and error of a process that runs a step.

Standard input is empty. Printed text becomes log records here (`PrintedLines`); what C libraries and child
processes write to descriptors 1 and 2 goes into pipes. Another process, the keeper, reads those: C code may write
more than a pipe holds while it has the interpreter lock, when no thread of this process could read.
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
"""Descriptors, and the log level of their output."""


class StandardStreams:
    """The standard streams of this process after it has taken them over, until `restore`.

    Args:
        before: the previous targets of descriptors 1 and 2.
        pipes: the read ends for descriptors 1 and 2.
        printed: the streams below `sys.stdout` and `sys.stderr`.

    Attributes:
        terminal: the previous target of descriptor 2.
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
            logger: of the step's printed output.
        """
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed or missing
                stream.flush()
        before = [_copy(number) for number, _ in OUTPUTS]
        pipes: list[BinaryIO] = []
        for number, _ in OUTPUTS:
            reads, writes = os.pipe()
            os.dup2(writes, number)
            os.close(writes)
            # The read end is kept open here as well: a killed keeper has a successor, and until then no writer is ended
            # by a broken pipe.
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
        """Restores descriptors 1 and 2; output written before can still be read."""
        for (number, _), before in zip(OUTPUTS, self._before, strict=True):
            os.dup2(before.fileno(), number)


def text_stream(lines: PrintedLines) -> io.TextIOWrapper:
    """A stream as any program expects it. It buffers nothing, since lines are assembled per thread."""
    buffer = cast(BinaryIO, lines)
    return io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", newline="\n", write_through=True)


def _copy(number: int) -> BinaryIO:
    try:
        return os.fdopen(os.dup(number), "wb", buffering=0)
    except OSError:  # the starter of this process closed it
        return open(os.devnull, "wb", buffering=0)
