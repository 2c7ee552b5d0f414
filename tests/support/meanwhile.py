"""What other processes do to a run between a command's look at it and the command's lock on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from coordinator.runs.run_directory import LOCK, RunDirectory


def before_the_lock(directory: RunDirectory, change: Callable[[], object]) -> None:
    """Calls `change` once, just before this process locks the run directory for the first time from now on.

    There is no way back, so it is for processes that end with the test.
    """
    lock, changed = str(directory.path / LOCK), False

    def watch(event: str, args: tuple[object, ...]) -> None:
        nonlocal changed
        if not changed and event == "open" and str(args[0]) == lock and int(str(args[2])) & os.O_CREAT:
            changed = True
            change()

    sys.addaudithook(watch)


def before_the_rename(path: Path, change: Callable[[], object]) -> None:
    """Calls `change` just before this process renames `path`, as `before_the_lock`."""

    def watch(event: str, args: tuple[object, ...]) -> None:
        if event == "os.rename" and str(args[0]) == str(path):
            change()

    sys.addaudithook(watch)


def in_a_child(act: Callable[[], object]) -> None:
    """Calls `act` in a separate process; it must not raise."""
    pid = os.fork()
    if not pid:
        try:
            act()
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the child has failed; its traceback is above"
