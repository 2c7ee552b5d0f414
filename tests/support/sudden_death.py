"""Processes that die while they change files, at any one of the changes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

CHANGES = frozenset({"os.mkdir", "os.link", "os.rename", "os.remove", "os.rmdir"})
DIED, FAILED = 9, 1


def dies_at(change: int, act: Callable[[], object]) -> bool:
    """Whether a child that calls `act` comes to its change number `change` (from 1), and dies just before it.

    A change is a folder made, a link, a rename, a file or a folder deleted.
    """
    pid = os.fork()
    if not pid:
        _live_until(change, act)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, DIED), "the child has failed; its traceback is above"
    return code == DIED


def _live_until(change: int, act: Callable[[], object]) -> None:
    left = change

    def watch(event: str, _: object) -> None:
        nonlocal left
        if event in CHANGES:
            left -= 1
            if not left:
                os._exit(DIED)

    try:
        sys.addaudithook(watch)
        act()
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(FAILED)
