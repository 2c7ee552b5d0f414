"""Stop signals, noticed even while a step runs C code that blocks Python handlers on the main thread."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from common.errors import EXIT_STOPPED
from common.process.forks import keep_handler, keep_private

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(words: str) -> Iterator[None]:
    """A command from its first moment: unless another handler takes SIGINT or SIGTERM, started work is unwound.

    The process then exits with 130; a second signal ends it at once. A shell that started it with `&` may have had
    SIGINT ignored.

    Args:
        words: printed at the end.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _unwind)
    try:
        yield
    except KeyboardInterrupt:
        with suppress(OSError):
            print(words, file=sys.stderr, flush=True)
            sys.stdout.flush()
        # Not by sys.exit: after an interrupt in `exec`, which dataclasses use, Python ends as if killed by it.
        os._exit(EXIT_STOPPED)


def _unwind(*_: object) -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: os._exit(EXIT_STOPPED))
    raise KeyboardInterrupt


def on_stop_signals(first: Callable[[], None], second: Callable[[], None] | None = None) -> None:
    """Handles SIGINT and SIGTERM: calls `first` once, then `second`, on a separate thread.

    Args:
        second: called on a second signal; None to exit at once.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    keep_private(receiver, sender)
    for number in STOP_SIGNALS:
        signal.signal(number, _heard_by_the_thread)
        keep_handler(number, _heard_by_the_thread)

    # The signal module knows the socket only by number, so the thread keeps it.
    threading.Thread(target=_listen, args=(receiver, sender, first, second), name="signals", daemon=True).start()


@contextmanager
def stop_signals(first: Callable[[], None], second: Callable[[], None] | None = None) -> Iterator[None]:
    """`on_stop_signals` while the block runs, in a process shared with others; restores the earlier handlers.

    Python handles signals only on its main thread: on another one, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    wakeup = signal.set_wakeup_fd(-1)
    try:
        on_stop_signals(first, second)
        yield
    finally:
        # In this order, so that no signal is ever lost.
        try:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        finally:
            ours = signal.set_wakeup_fd(wakeup)
            if ours != -1:
                os.write(ours, _END)


def _heard_by_the_thread(*_: object) -> None:
    pass


_END = bytes([0])  # no signal has this number


def _listen(
    receiver: socket.socket, sender: socket.socket, first: Callable[[], None], second: Callable[[], None] | None
) -> None:
    seen = 0
    with sender, receiver:
        while True:
            for number in receiver.recv(16):
                if number == _END[0]:
                    return
                if number not in STOP_SIGNALS:
                    continue
                seen += 1
                if seen == 1:
                    first()
                elif second is not None:
                    second()
                else:
                    os._exit(EXIT_STOPPED)
