"""What a forked process must not inherit from its parent: signals, sockets, pipes.

A step may fork as any program does (`multiprocessing`, `datasets.map(num_proc=2)`, `os.fork`). Its child must end at
SIGTERM, and must not keep the broker, or the keeper of a lease, believing that the worker lives.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Protocol
from weakref import WeakSet


class HasDescriptor(Protocol):
    """A socket or an open file."""

    def fileno(self) -> int: ...


_private: WeakSet[HasDescriptor] = WeakSet()
_handlers: dict[int, object] = {}
_mask = threading.local()
_forks = 0


def keep_private(*opened: HasDescriptor) -> None:
    """Children forked from now on do not inherit these; the connections themselves are unaffected."""
    _watch_forks()
    for one in opened:
        _private.add(one)


def keep_handler(number: signal.Signals, handler: object) -> None:
    """Children have Python's own handler of this signal instead of `handler`."""
    _watch_forks()
    _handlers[number] = handler


@cache
def _watch_forks() -> None:
    # A signal that arrives before the child has its own handlers would be lost there, and reach the parent.
    os.register_at_fork(before=_hold_signals, after_in_parent=_let_signals, after_in_child=_forget)


def in_children(act: Callable[[], None]) -> None:
    """Calls `act` in each child before anything else runs there, for the rest of the process's life."""
    _watch_forks()
    os.register_at_fork(after_in_child=act)


def forks_so_far() -> int:
    """How many forks lie between this process and the first one: it tells a child from its parent without a call."""
    return _forks


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


def _hold_signals() -> None:
    _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, set(_handlers))


def _let_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask.before)


def _forget() -> None:
    _reset_signals()
    _let_signals()
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for one in list(_private):
        with suppress(OSError, ValueError):  # it is already closed
            descriptor = one.fileno()
            # Not closed: a file of the child would reuse the number, and be closed when the old owner is collected.
            if descriptor >= 0:
                os.dup2(nothing, descriptor, inheritable=False)
    _private.clear()
    os.close(nothing)


def _reset_signals() -> None:
    ours = [number for number, handler in _handlers.items() if signal.getsignal(number) is handler]
    if ours:  # a handler set by a step stays
        signal.set_wakeup_fd(-1)
    for number in ours:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    _handlers.clear()
