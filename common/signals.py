"""Stop signals, seen even while a step is deep in C code that lets no Python handler run on the main thread."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable

from common.errors import EXIT_STOPPED


def on_stop_signals(first: Callable[[], None], second: Callable[[], None] | None = None) -> None:
    """SIGINT and SIGTERM: calls `first` once, then `second`, on a thread of their own.

    Args:
        second: what a second signal does; None to leave at once.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)

    def listen() -> None:
        seen = 0
        with sender, receiver:  # the signal module knows the sender by number only: someone must keep it open
            while True:
                for number in receiver.recv(16):
                    if number not in (signal.SIGINT, signal.SIGTERM):
                        continue
                    seen += 1
                    if seen == 1:
                        first()
                    elif second is not None:
                        second()
                    else:
                        os._exit(EXIT_STOPPED)

    threading.Thread(target=listen, name="signals", daemon=True).start()
