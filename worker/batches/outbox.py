"""Commits a worker's results, several batches per round trip, while the next batch runs."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence

from common.broker.commits import Commits, Done
from common.broker.patience import Patience
from common.errors import BrokerFull, Disconnected

TOGETHER = 32
TOGETHER_BYTES = 16 << 20
"""Most results, and approximate bytes of their rows, in one round trip."""

logger = logging.getLogger("penstock.worker")


class Outbox:
    """A thread that commits. What lands or is lost is reported to `settled`, by entry.

    Args:
        patience: with an unreachable broker. A full one is waited for without limit: work in hand makes room in it.
        settled: called on this thread with the entries that no longer belong to this worker.
        fail: called with the error that ended the thread.
    """

    def __init__(
        self,
        commits: Commits,
        patience: Patience,
        settled: Callable[[Sequence[str]], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._commits = commits
        self._patience = patience
        self._settled = settled
        self._fail = fail
        self._waiting: queue.SimpleQueue[Done | None] = queue.SimpleQueue()
        self._full = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Starts committing."""
        self._thread.start()

    def put(self, done: Done) -> None:
        """Commits soon, in the order of the calls."""
        self._waiting.put(done)

    def close(self) -> None:
        """Commits what is left and ends the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            closing = False
            while not closing:
                together = [self._waiting.get()]
                size = _size(together[0])
                while len(together) < TOGETHER and size < TOGETHER_BYTES and not self._waiting.empty():
                    together.append(self._waiting.get())
                    size += _size(together[-1])
                closing = None in together
                done = [one for one in together if one is not None]
                if done:
                    self._commit(done)
        except BaseException as error:
            self._fail(error)

    def _commit(self, done: list[Done]) -> None:
        """A commit whose reply was lost is sent again: the script writes nothing the second time."""
        while True:
            try:
                landed = self._commits.commit(done)
                break
            except (Disconnected, BrokerFull) as error:
                logger.warning("%s; %d results wait to be committed", error, len(done))
                self._patience.reach()
                self._full.wait(1.0 if isinstance(error, BrokerFull) else 0.0)
        for one, landing in zip(done, landed, strict=True):
            if not landing:
                logger.info("batch %d of %s has another owner now", one.taken.batch.seq, one.taken.batch.step)
        self._settled([one.taken.entry for one in done])


def _size(done: Done | None) -> int:
    return len(done.payload) if done is not None and done.payload is not None else 0
