"""Takes batches for a worker and reads their rows, ahead of the step that runs them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from common.broker.consumer import Consumer
from common.broker.inbox import Inbox, Taken
from common.errors import Disconnected, RunError, StepFailed, WireError
from common.settings import Settings
from worker.holes import WholeRows, take_whole
from worker.payload_reader import PayloadReader, Rows
from worker.work import Work

LONGEST_BLOCK = 0.25
"""Seconds that a read waits for an entry, so that a stop is noticed soon."""
NOTHING = WholeRows((), (), 0, 0)

logger = logging.getLogger("penstock.worker")


class Intake:
    """A thread that takes entries: its own unfinished ones first, then what others handed back or left, then new ones.

    Args:
        room: how many more batches the runner wants now.
        deliver: called, on this thread, with each batch.
        fail: called with the error that ended the thread.
    """

    def __init__(
        self,
        consumer: Consumer,
        reader: PayloadReader,
        settings: Settings,
        room: Callable[[], int],
        deliver: Callable[[Work], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._consumer = consumer
        self._inbox = Inbox(consumer)
        self._reader = reader
        self._settings = settings
        self._room = room
        self._deliver = deliver
        self._fail = fail
        self._held: dict[str, Taken] = {}
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._compare = True
        self._looked = 0.0
        self._claimed = 0.0
        self._looked_long = time.monotonic()
        self._buried: set[str] = set()
        self._suspects: set[str] = set()
        self.batch_bytes = 0.0
        """Of payloads, that each of the last batches took to read."""
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        """Starts taking."""
        self._thread.start()

    def stop(self) -> None:
        """Takes nothing more; waits for a read that is under way."""
        self._stopping.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def held(self) -> int:
        """Entries taken and neither committed nor handed back."""
        return len(self._held)

    def forget(self, entries: Sequence[str]) -> None:
        """Entries that were committed, lost or handed back."""
        with self._lock:
            for entry in entries:
                self._held.pop(entry, None)
        self._changed.set()

    def compare(self) -> None:
        """Entries may be pending for this worker that it does not hold: look for them."""
        self._compare = True

    def more_room(self) -> None:
        """The runner wants more than before."""
        self._changed.set()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._changed.clear()
                room = self._room()
                if room <= 0:
                    self._changed.wait(LONGEST_BLOCK)
                    continue
                try:
                    self._hand_over(self._take(room))
                except Disconnected as error:
                    self._reconnect(error)
        except BaseException as error:
            self._fail(error)

    def _reconnect(self, error: Disconnected) -> None:
        """A lost reply may have left entries pending for this worker: nobody else may take them, so it must look."""
        logger.warning("%s; trying again for up to %.0f s", error, self._settings.patience)
        self._consumer.connection.wait_until_reachable(self._settings.patience)
        self._reader.forget()
        self._compare = True

    def _take(self, room: int) -> list[Taken]:
        if self._compare:
            with self._lock:
                held = set(self._held)  # before it asks: what is committed meanwhile is in the answer, and finished
            unfinished = self._inbox.pending(held)
            self._compare = len(unfinished) > room
            if unfinished:
                return self._hold(unfinished[:room])
        if left := self._claim_handed_back(room) or self._claim(self._find_dead(), room):
            return self._hold(left)
        block = min(LONGEST_BLOCK, self._settings.worker_lease / 4)
        return self._hold(self._inbox.read(room, block))

    def _hold(self, taken: list[Taken]) -> list[Taken]:
        with self._lock:
            self._held.update((one.entry, one) for one in taken)
        return taken

    def _claim_handed_back(self, room: int) -> list[Taken]:
        now = time.monotonic()
        if now - self._claimed < LONGEST_BLOCK:
            return []
        found = self._inbox.claim_handed_back(room)
        if len(found) < room:  # else there may be more, which must not wait behind new ones
            self._claimed = now
        return found

    def _find_dead(self) -> set[str]:
        """Workers whose keeper saw them end, and those found without a lease in two looks, half a lease apart."""
        now = time.monotonic()
        if now - self._looked < LONGEST_BLOCK:
            return set()
        self._looked = now
        dead = self._consumer.dead_workers() - self._buried
        long_look = now - self._looked_long >= self._settings.worker_lease / 2
        if not dead and not long_look:
            return set()
        silent = {worker for worker, entries in self._inbox.silent_workers().items() if entries}
        self._buried |= dead - silent
        dead &= silent
        if long_look:
            self._looked_long = now
            self._compare = True
            dead |= self._suspects & silent
            self._suspects = silent
        return dead

    def _claim(self, dead: set[str], room: int) -> list[Taken]:
        claimed: list[Taken] = []
        for worker in sorted(dead):
            if len(claimed) < room and (found := self._inbox.claim(worker, room - len(claimed))):
                logger.warning("took over %d batches of worker %s, which is dead", len(found), worker)
                claimed += found
        return claimed

    def _hand_over(self, taken: list[Taken]) -> None:
        if not taken:
            return
        try:
            if not self._consumer.is_of_this_run():
                self._give_back(taken)
                return
            read = self._read(taken)
        except Disconnected:
            self.forget([one.entry for one in taken])  # else no comparison would ever find them
            raise
        for one, inputs in zip(taken, read, strict=True):
            if one.broken is not None:
                self._deliver(Work(one, NOTHING, lambda: NOTHING, one.broken))
            elif isinstance(inputs, RunError):
                self._deliver(Work(one, NOTHING, lambda: NOTHING, inputs))
            else:
                self._deliver(Work(one, take_whole(inputs), self._reading_again(one)))

    def _read(self, taken: Sequence[Taken]) -> Sequence[list[Rows] | RunError]:
        """Rows per predecessor, or what is wrong with them, for each."""
        before = self._reader.bytes_read
        try:
            read = self._reader.read([one.batch for one in taken])
        except WireError as error:
            return [error] * len(taken)
        self.batch_bytes = (self._reader.bytes_read - before) / len(taken)
        return read

    def _give_back(self, taken: Sequence[Taken]) -> None:
        """Batches of another run of this id: its steps may be others, and rows that were kept are none of its own.

        The worker is about to find out, and to leave.
        """
        self._inbox.hand_back(taken)
        self.forget([one.entry for one in taken])
        self._stopping.set()

    def _reading_again(self, taken: Taken) -> Callable[[], WholeRows]:
        def again() -> WholeRows:
            connection, patience = self._consumer.connection, self._settings.patience
            try:
                (inputs,) = connection.insist(lambda: self._reader.read([taken.batch]), patience)
            except WireError as error:
                raise StepFailed(str(error)) from error
            if isinstance(inputs, RunError):  # lost, or the batch is another worker's now, and done
                raise StepFailed(str(inputs)) from inputs
            return take_whole(inputs)

        return again
