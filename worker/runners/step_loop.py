"""The event loop that an asynchronous step lives on, from its load to its end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine
from typing import TypeVar

from common.process.forks import keep_private

T = TypeVar("T")


class StepLoop:
    """Runs on one thread what others hand to it. All of it has one context, as variables that `aload` sets."""

    def __init__(self) -> None:
        self._events = asyncio.Runner()
        self._context = contextvars.copy_context()
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Makes the loop, on the thread that runs it."""
        self._loop = self._events.get_loop()
        _keep_to_this_process(self._loop)

    def close(self) -> None:
        """Ends what still runs on it."""
        self._events.close()

    def run(self, coroutine: Coroutine[None, None, T]) -> T:
        """Runs it, and nothing else after its end."""
        return self._events.run(coroutine, context=self._context)

    def run_to_the_end(self, coroutine: Coroutine[None, None, T]) -> T:
        """Runs it, whatever tasks that a step has started do to the loop."""
        loop = self._events.get_loop()
        main = loop.create_task(coroutine, context=self._context)
        while not main.done():
            # A task that a step started and that exits stops the loop; the others are well, and so the loop goes on.
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                loop.run_until_complete(main)
        return main.result()

    def call(self, act: Callable[[], object]) -> None:
        """Has it called on the loop soon, if there is one; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(act)

    def result_of(self, coroutine: Coroutine[None, None, T]) -> T:
        """Runs it on the loop, for another thread, which waits."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def _keep_to_this_process(loop: asyncio.AbstractEventLoop) -> None:
    """A process that the step forks could wake the loop otherwise, or hear in its place."""
    ends = (getattr(loop, name, None) for name in ("_selector", "_ssock", "_csock"))
    keep_private(*(end for end in ends if end is not None))
