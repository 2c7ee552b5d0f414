"""Runs a server on a thread, for tests that wait for commands meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def on_a_thread(server: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Enters `server` on an event loop of its own, and leaves it at the end of the block."""
    started, ended = threading.Event(), threading.Event()
    found: list[T] = []

    async def serve() -> None:
        async with server as served:
            found.append(served)
            started.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    started.wait()
    try:
        yield found[0]
    finally:
        ended.set()
        thread.join()
