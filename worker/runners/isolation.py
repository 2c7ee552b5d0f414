"""Runs a batch that has killed several workers row by row, so that the row that kills is found and the others survive.

Each row is marked in the broker before it runs, and its output is noted after, so that the next worker knows which
row the last one died on. A row that kills twice here is a dead letter. Its neighbours only become slower.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import msgpack

from common.broker.commits import Done
from common.broker.connection import Argument
from common.broker.consumer import Consumer
from common.broker.inbox import Taken
from common.broker.isolation import IsolationNotes
from common.broker.patience import Patience
from common.errors import Interrupted, RowError, StepFailed, StoreError, WireError
from common.protocol.codec import decode_rows, encode_rows
from common.protocol.usage import Usage, usage_in, usage_out
from common.steps.base import AsyncStep, Row, Step
from worker.batches.batch_work import Work
from worker.batches.outcome import FailedRow, MadeRows, Outcome, died, give_up, give_up_batch

KILLS = 2
"""Workers that may die on a single row."""

RunRows = Callable[[Callable[[], Sequence[list[Row]]]], Outcome]

logger = logging.getLogger("penstock.worker")


class Isolation:
    """Runs isolated batches of one step.

    Args:
        run_rows: runs the given rows, with all their attempts.
        patience: with an unreachable or full broker.
        routes: does a routing function read the batch's output? It may be the cause.

    Attributes:
        place: in its batch, of the row that runs.
    """

    def __init__(
        self, step: Step | AsyncStep, consumer: Consumer, run_rows: RunRows, patience: Patience, *, routes: bool = False
    ) -> None:
        self._step = step
        self._notes = IsolationNotes(consumer)
        self._run_rows = run_rows
        self._patience = patience
        self._routes = routes
        self._running: Taken | None = None
        self.place = 0

    def note_late(self, why: str) -> None:
        """The current row takes too long and ends the worker."""
        if self._running is not None:
            self._notes.note(self._running, why=why)

    def run(self, work: Work, pack: Callable[[Outcome], Done]) -> Done | None:
        """Returns the commit of the batch, or None if another worker has it now.

        Args:
            pack: makes the commit from the batch's output.

        Raises:
            StepFailed: a row that kills may not be dropped, the batch cannot be split, or its routing kills.
            Interrupted: the worker must stop, and a row waits for a retry.
            Disconnected, BrokerFull: the broker was away or full until patience ran out.
        """
        self._running = work.taken
        try:
            outcome = self._run(work)
        finally:
            self._running = None
        if outcome is None or (self._routes and not self._mark_routing(work)):
            return None
        try:
            return pack(outcome)
        finally:
            if self._routes:
                self._note(work, routing=0)

    def _mark_routing(self, work: Work) -> bool:
        """Notes that the rows are done and about to be routed; returns whether the batch is still ours."""
        begun = _number(self._read_notes(work).get("routing")) or 0
        if begun >= KILLS:
            raise StepFailed(
                f"the worker died each of {KILLS} times that the routing function of step '{self._step.name}' had the "
                f"rows of batch {work.taken.batch.seq}"
            )
        return self._note(work, routing=begun + 1)

    def _run(self, work: Work) -> Outcome | None:
        batch, whole = work.taken.batch, work.whole
        if not self._step.splittable or not whole.aligned:
            return self._whole_batch(work)
        logger.warning(
            "batch %d of %s has killed %d workers: running it row by row",
            batch.seq,
            batch.step,
            work.taken.deliveries - 1,
        )
        notes = self._read_notes(work)
        kills = {place: _number(notes.get(f"kills{place}")) or 0 for place in range(whole.count)}
        fatal = _number(notes.get("running"))
        if fatal in kills:
            kills[fatal] += 1
            why = notes.get("why", b"")
            known: dict[str, Argument] = {f"kills{fatal}": kills[fatal], f"why{fatal}": why}
            if not self._note(work, running="", why="", **known):
                return None
            notes[f"why{fatal}"] = why
        outcome = Outcome(whole.count)
        for place in range(whole.count):
            row = whole.inputs[0][place]
            if kills[place] >= KILLS:
                error = f"the worker died each of {KILLS} times that it ran this row alone"
                if why := notes.get(f"why{place}", b""):
                    error = f"{why.decode(errors='replace')}, each of {KILLS} times that this row ran alone"
                give_up(self._step, outcome, [FailedRow(place, error, KILLS, row)])
                continue
            noted = notes.get(f"row{place}", b"")
            if not _unpack(noted, place, outcome):
                if not self._note(work, running=place):
                    return None
                self.place = place
                try:
                    piece = self._run_rows(self._one_row(work, place))
                except (Interrupted, StoreError):  # the worker leaves, but not because of this row
                    self._note(work, running="")
                    raise
                noted = _pack(piece)
                if not self._note(work, running="", **{f"row{place}": noted}):
                    return None
                _unpack(noted, place, outcome)
        return outcome

    def _read_notes(self, work: Work) -> dict[str, bytes]:
        return self._patience.insist(lambda: self._notes.read(work.taken.batch))

    def _note(self, work: Work, **fields: Argument) -> bool:
        return self._patience.insist(lambda: self._notes.note(work.taken, **fields))

    def _one_row(self, work: Work, place: int) -> Callable[[], Sequence[list[Row]]]:
        return lambda: [rows[place : place + 1] for rows in work.again().inputs]

    def _whole_batch(self, work: Work) -> Outcome:
        """A batch that kills and cannot be split: every row of it fails."""
        deaths = work.taken.deliveries - 1
        error = f"{died(self._step, deaths)} on this batch, and step '{self._step.name}' cannot be run row by row"
        if self._step.kind == "global":
            raise StepFailed(error)
        outcome = Outcome(work.whole.count)
        give_up_batch(self._step, outcome, work.whole.inputs, error, deaths)
        return outcome


def _pack(piece: Outcome) -> bytes:
    """One row's outcome; a row that cannot be stored fails here as in a batch."""
    failed = [(failure.error, failure.attempts, failure.row) for failure in piece.failed]
    usage, saved = piece.usage(())
    try:
        rows = encode_rows(piece.rows())
    except RowError as error:
        rows, failed = encode_rows([None]), [(str(error), 1, None)]
        usage = saved = Usage()
    letters = [(error, attempts, encode_rows([row])) for error, attempts, row in failed]
    packed: bytes = msgpack.packb([rows, letters, usage_out(usage), usage_out(saved)])
    return packed


def _unpack(noted: bytes, place: int, outcome: Outcome) -> bool:
    """Adds the output of a row; False if it was not noted or cannot be read: the row runs again."""
    try:
        rows, failed, *models = msgpack.unpackb(noted)
        usage, saved = map(usage_in, models or ([], []))
        made = decode_rows(rows)
        failures = [FailedRow(place, str(error), int(attempts), decode_rows(row)[0]) for error, attempts, row in failed]
    except (ValueError, TypeError, IndexError, WireError, msgpack.UnpackException):
        return False
    outcome.add(MadeRows(made, usage, saved))
    outcome.failed.extend(failures)
    return True


def _number(noted: bytes | None) -> int | None:
    """The content of a note; None for no note or a foreign one."""
    return int(noted) if noted and len(noted) < 20 and noted.isdigit() else None
