"""The event loop of an asynchronous step, from its load to its end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine
from typing import TypeVar

from common.process.forks import keep_private

T = TypeVar("T")


class StepLoop:
    """Runs what others hand to it, on one thread and in one context, so that variables set by `aload` persist."""

    def __init__(self) -> None:
        self._events = asyncio.Runner()
        self._context = contextvars.copy_context()
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Creates the loop, on the thread that runs it."""
        self._loop = self._events.get_loop()
        _keep_to_this_process(self._loop)

    def close(self) -> None:
        """Ends everything that still runs on it."""
        self._events.close()

    def run(self, coroutine: Coroutine[None, None, T]) -> T:
        """Runs it, and nothing after its end."""
        return self._events.run(coroutine, context=self._context)

    def run_to_the_end(self, coroutine: Coroutine[None, None, T]) -> T:
        """Runs it, whatever a step's tasks do to the loop."""
        loop = self._events.get_loop()
        main = loop.create_task(coroutine, context=self._context)
        while not main.done():
            # A step's task that raises SystemExit stops the loop; the others are unaffected, so the loop continues.
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                loop.run_until_complete(main)
        return main.result()

    def call(self, act: Callable[[], object]) -> None:
        """Schedules a call on the loop, if there is one; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(act)

    def result_of(self, coroutine: Coroutine[None, None, T]) -> T:
        """Runs it on the loop for another thread, which waits."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def _keep_to_this_process(loop: asyncio.AbstractEventLoop) -> None:
    """Otherwise a process forked by the step could wake the loop, or receive its signals."""
    ends = (getattr(loop, name, None) for name in ("_selector", "_ssock", "_csock"))
    keep_private(*(end for end in ends if end is not None))
