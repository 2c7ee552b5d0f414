"""Whatever the code of a step raises is an error of that step, even if Python means the end of a process or task.

SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError and others that derive from BaseException alone come from
the step: the signals of a worker raise nothing (`common/process/signals.py`), and nobody cancels what a step runs in,
except for a row that takes too long.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from types import TracebackType

from common.process.forks import forks_so_far


class StepCode:
    """Wraps calls of a step's code. A process forked inside ends when it leaves the block.

    Raises:
        Exception: what the code raises, or an error that describes it if it is not an Exception.

    Example:
        >>> with StepCode():
        ...     step.load()
    """

    __slots__ = ("_forks",)

    def __enter__(self) -> None:
        self._forks = forks_so_far()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if forks_so_far() != self._forks:
            end_child(error)
        if error is not None and not isinstance(error, Exception):
            raise as_error(error) from error


def end_child(error: BaseException | None) -> None:
    """Ends a forked process as Python does at the end of a program: it must not continue as a second worker."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code & 0xFF)


def without_frames(error: BaseException | None) -> None:
    """Drops the tracebacks of an error and of its causes, once they are logged: their frames hold rows, in a cycle."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def as_error(error: BaseException) -> Exception:
    """The error itself, or a description of one that is not an `Exception`, from the same line of code."""
    if isinstance(error, Exception):
        return error
    if isinstance(error, SystemExit):
        words = f"the step called exit({'' if error.code is None else error.code})"
    else:
        words = f"the step raised {type(error).__name__}"
        try:
            words += f": {error}" if str(error) else ""
        except BaseException:  # the message is the step's code as well
            words += ", which has no message that can be read"
    return RuntimeError(words).with_traceback(error.__traceback__)
