"""Takes batches for a worker and reads their rows, ahead of the step that runs them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from common.broker.consumer import Consumer
from common.broker.inbox import Taken
from common.broker.patience import Patience
from common.errors import Disconnected, RunError, StepFailed, WireError
from common.settings import Settings
from common.steps.skip_rule import SkipRule
from worker.batches.batch_work import Work
from worker.batches.holes import WholeRows, take_whole
from worker.batches.payload_reader import PayloadReader, Rows
from worker.batches.set_aside import set_aside, set_aside_again
from worker.batches.taker import LONGEST_BLOCK, Taker

NOTHING = WholeRows((), (), 0, 0)

logger = logging.getLogger("penstock.worker")


class Intake:
    """A thread that takes entries while the runner has room, and reads their rows.

    Args:
        room: how many more batches the runner wants now.
        deliver: called, on this thread, with each batch.
        fail: called with the error that ended the thread.
        rule: which rows pass the step by; None if none do.
    """

    def __init__(
        self,
        consumer: Consumer,
        reader: PayloadReader,
        settings: Settings,
        room: Callable[[], int],
        deliver: Callable[[Work], None],
        fail: Callable[[BaseException], None],
        rule: SkipRule | None = None,
    ) -> None:
        self._consumer = consumer
        self._reader = reader
        self._patience = Patience(
            consumer.connection,
            settings.patience,
            lambda why: logger.warning("%s; trying again for up to %.0f s", why, settings.patience),
        )
        self._room = room
        self._deliver = deliver
        self._fail = fail
        self._rule = rule
        self._taker = Taker(consumer, settings.worker_lease)
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self.batch_bytes = 0.0
        """Of payloads, as read for each of the last batches."""
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        """Starts taking."""
        self._thread.start()

    def stop(self) -> None:
        """Stops taking entries; waits for a pending read."""
        self._stopping.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def held(self) -> int:
        """Entries taken and neither committed nor handed back."""
        return self._taker.held

    def forget(self, entries: Sequence[str]) -> None:
        """Entries that were committed, lost or handed back."""
        self._taker.forget(entries)
        self._changed.set()

    def compare(self) -> None:
        """The broker may hold entries for this worker that it does not know of: look for them."""
        self._taker.compare()

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
                    self._hand_over(self._taker.take(room))
                except Disconnected as error:
                    self._reconnect(error)
        except BaseException as error:
            self._fail(error)

    def _reconnect(self, error: Disconnected) -> None:
        """A lost reply may have left entries pending for this worker: no other may take them, so it must look."""
        self._patience.outlast(error)
        self._reader.forget()
        self._taker.compare()

    def _hand_over(self, taken: list[Taken]) -> None:
        if not taken:
            return
        try:
            if not self._consumer.is_of_this_run():
                self._give_back(taken)
                return
            read = self._read(taken)
        except Disconnected:
            self.forget([one.entry for one in taken])  # otherwise they would never be looked for again
            raise
        for one, inputs in zip(taken, read, strict=True):
            if one.broken is not None:
                self._deliver(Work(one, NOTHING, lambda: NOTHING, one.broken))
            elif isinstance(inputs, RunError):
                self._deliver(Work(one, NOTHING, lambda: NOTHING, inputs))
            else:
                whole = take_whole(inputs)
                if self._rule is not None:
                    whole = set_aside(whole, self._rule)
                self._deliver(Work(one, whole, self._reading_again(one, whole)))

    def _read(self, taken: Sequence[Taken]) -> Sequence[list[Rows] | RunError]:
        """Per batch, rows per predecessor, or the error."""
        before = self._reader.bytes_read
        try:
            read = self._reader.read([one.batch for one in taken])
        except WireError as error:
            return [error] * len(taken)
        self.batch_bytes = (self._reader.bytes_read - before) / len(taken)
        return read

    def _give_back(self, taken: Sequence[Taken]) -> None:
        """Batches of another run with this id: its steps may differ, and cached rows do not belong to it.

        The worker is about to find out, and to leave.
        """
        self._taker.hand_back(taken)
        self._stopping.set()

    def _reading_again(self, taken: Taken, whole: WholeRows) -> Callable[[], WholeRows]:
        def again() -> WholeRows:
            try:
                (inputs,) = self._patience.insist(lambda: self._reader.read([taken.batch]))
            except WireError as error:
                raise StepFailed(str(error)) from error
            if isinstance(inputs, RunError):  # lost, or another worker has done the batch
                raise StepFailed(str(inputs)) from inputs
            return take_whole(inputs) if self._rule is None else set_aside_again(take_whole(inputs), whole)

        return again
