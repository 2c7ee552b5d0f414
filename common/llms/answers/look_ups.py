"""Look-ups at a store that may take a while, made together in a thread: those that come while others are on their way
go with the next ones."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from common.llms.answers.kept import Found, Place

MOST = 256
"""Look-ups that go together."""


@dataclass(frozen=True, slots=True)
class _LookUp:
    key: bytes
    place: Place
    found: asyncio.Future[Found | None]


class LookUps:
    """A thread that looks, for any number of event loops.

    Args:
        look: called there with the key and the place of some requests. It may not raise.
    """

    def __init__(self, look: Callable[[Sequence[tuple[bytes, Place]]], Sequence[Found | None]]) -> None:
        self._look = look
        self._waiting: queue.SimpleQueue[_LookUp | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="look-ups", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Returns when all look-ups are answered."""
        self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join()

    async def find(self, key: bytes, place: Place) -> Found | None:
        """What is found, as soon as the thread has it."""
        one = _LookUp(key, place, asyncio.get_running_loop().create_future())
        self._waiting.put(one)
        return await one.found

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            together, is_last = [first], False
            while len(together) < MOST and not self._waiting.empty() and not is_last:
                if (one := self._waiting.get()) is not None:
                    together.append(one)
                is_last = one is None
            self._answer(together, self._look([(one.key, one.place) for one in together]))
            if is_last:
                return

    def _answer(self, together: Sequence[_LookUp], found: Sequence[Found | None]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_LookUp, Found | None]]] = {}
        for pair in zip(together, found, strict=True):
            by_loop.setdefault(pair[0].found.get_loop(), []).append(pair)
        for loop, pairs in by_loop.items():
            with suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(_set, pairs)


def _set(pairs: Sequence[tuple[_LookUp, Found | None]]) -> None:
    for look_up, found in pairs:
        if not look_up.found.done():  # its row was cancelled
            look_up.found.set_result(found)
