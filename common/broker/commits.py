"""A worker's output becomes part of the run: rows and result together, exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.broker.connection import Argument, Call, raise_first
from common.broker.consumer import Consumer
from common.broker.inbox import Taken
from common.broker.spending import Spending
from common.protocol.batch import DeadLetter, Failure, Result
from common.protocol.keys import GROUP
from common.protocol.wire import encode_entry, encode_letters


@dataclass(frozen=True, slots=True)
class Done:
    """The commit of an entry.

    Args:
        payload: encoded rows for the broker; None without rows, or if they are in the file store.
        letters: rows that failed.
    """

    taken: Taken
    result: Result | Failure
    payload: bytes | None = None
    letters: tuple[DeadLetter, ...] = ()


class Commits:
    """The commits of one worker: only the owner of an entry commits its result.

    Args:
        spending: noted with each commit, so that what is kept was spent.
    """

    def __init__(self, consumer: Consumer, spending: Spending | None = None) -> None:
        self._spending = spending
        self._connection = consumer.connection
        self._keys = consumer.keys
        self._stream = consumer.stream
        self._step = consumer.step
        self._worker_id = consumer.worker_id

    def commit(self, done: Sequence[Done]) -> list[bool]:
        """Commits results in one round trip, each by its own script.

        Returns:
            For each, whether it landed; False if the entry no longer belonged to this worker, and nothing was written.

        Raises:
            Disconnected: any of them may have landed; committing again is safe.
            BrokerError: one of them was refused.
        """
        notes = self._spending.ahead() if self._spending is not None else []
        replies = self._connection.batch([*notes, *(self._commit_call(one) for one in done)])[len(notes) :]
        raise_first(replies)
        return [bool(reply) for reply in replies]

    def _commit_call(self, done: Done) -> Call:
        batch = done.taken.batch
        keys = [
            self._stream,
            self._keys.progress,
            self._keys.journal,
            self._keys.failed,
            self._keys.isolation(self._step, batch.seq, batch.attempt),
            self._keys.manifest(self._step, batch.seq, batch.attempt),
        ]
        if done.payload is not None:
            keys.append(self._keys.payload(self._step, batch.seq, batch.attempt))
        args: list[Argument] = [
            GROUP,
            self._worker_id,
            done.taken.entry,
            encode_entry(done.result),
            done.payload or b"",
        ]
        return Call("commit", keys, [*args, *encode_letters(done.letters)])
