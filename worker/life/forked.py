"""A process forked from this one, which keeps only its memory and the given descriptors."""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a keeper ignores."""


class ForkedProcess:
    """The parent's end, which looks like a `Popen` with pipes for standard input and output.

    Args:
        stdin, stdout: our ends of its pipes.
    """

    def __init__(self, pid: int, stdin: BinaryIO, stdout: BinaryIO) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self._code: int | None = None

    @classmethod
    def fork(cls, act: Callable[[], None], error: int | None = None, keeps: Sequence[int] = ()) -> ForkedProcess:
        """Forks this process.

        Safe only if no other thread may hold a lock that the child needs: the child has only the forking thread.

        Args:
            act: what the child does; it then exits with 0, or with 1 after an exception.
            error: where its standard error goes; None for the same place as ours.
            keeps: descriptors that it keeps, under the same numbers. All others lead to nothing there.
        """
        hears, tells = os.pipe()
        reads, says = os.pipe()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, DEAF_TO)  # until the child ignores them
        try:
            pid = os.fork()
            if pid == 0:
                _be_child(act, (hears, says, 2 if error is None else error), keeps)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(hears)
        os.close(says)
        return cls(pid, os.fdopen(tells, "wb"), os.fdopen(reads, "rb", buffering=0))

    def poll(self) -> int | None:
        """Its exit code (-n: ended by signal n); None while it runs."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int | None:
        """Waits for its end and returns its exit code."""
        return self._reap(0)

    def kill(self) -> None:
        """Ends it at once."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def _reap(self, options: int) -> int | None:
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # a step has waited for all children
                pid, status = self.pid, 0
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code


def name_process(name: str) -> None:
    """Sets the name of this process for `ps -o comm` and `top`: up to 15 characters, on Linux."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def _be_child(act: Callable[[], None], streams: Sequence[int], keeps: Sequence[int]) -> None:
    code = 1
    try:
        gc.freeze()  # memory from the parent is not scanned, and stays shared with it
        os.setsid()
        signal.set_wakeup_fd(-1)
        for ignored in DEAF_TO:
            signal.signal(ignored, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, DEAF_TO)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        _lead_nowhere({0, 1, 2, *keeps})
        # These hold unwritten output of the parent: as long as they exist, it is not written here.
        _parents = [sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__]
        for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
            stream_of_ours = open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream_of_ours)
            setattr(sys, f"__{name}__", stream_of_ours)
        act()
        sys.stdout.flush()
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _lead_nowhere(kept: set[int]) -> None:
    """All others. Not closed: the child's new files would reuse their numbers, and old owners might close those."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/dev/fd"):
        if (number := int(name)) not in {nothing, *kept}:
            with suppress(OSError):  # the descriptor of the listing itself
                os.fstat(number)
                os.dup2(nothing, number, inheritable=False)
    os.close(nothing)
