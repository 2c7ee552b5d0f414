"""A batch in a worker's hands: what was taken for it, and what is to be committed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from common.batch import Batch, Chunk, DeadLetter, Failure, Result
from common.broker.commits import Done
from common.broker.inbox import Taken
from common.codec import check_row, encode_rows
from common.columns import promised_columns
from common.errors import RowError, RowTooLarge, RunError, StepFailed, describe
from common.legible import legible
from common.payloads import FileStore
from common.settings import Settings
from common.steps.base import BaseStep, Row
from worker.holes import WholeRows, put_back
from worker.outcome import FailedRow, Outcome, failed_output
from worker.row_routing import RowRouting


@dataclass(frozen=True, slots=True)
class Work:
    """A batch with its rows.

    Args:
        whole: the rows that the step is given; for a generator's ticket, none.
        again: reads the same rows anew, since a step may change what it is given.
        broken: why the rows cannot be had, where that is so.
    """

    taken: Taken
    whole: WholeRows
    again: Callable[[], WholeRows]
    broken: RunError | None = None


class Packer:
    """Turns what a step made into what is committed.

    Args:
        files: where payloads go that should not be in the broker; None to keep all there.
        above: of so many bytes, larger ones.
        routing: chooses who gets the rows, where that is done here.
    """

    def __init__(
        self,
        step: BaseStep,
        worker_id: str,
        settings: Settings,
        files: FileStore | None,
        routing: RowRouting | None = None,
        above: int = 0,
    ) -> None:
        self._step = step
        self._worker = worker_id
        self._settings = settings
        self._files = files
        self._above = above
        self.routing = routing

    @property
    def may_wait(self) -> bool:
        """Does what it packs go to a store that takes its time?"""
        return self._files is not None

    def result(self, work: Work, outcome: Outcome, seconds: float) -> Done:
        """The result of a batch that ran, its failed rows as dead letters.

        Raises:
            StepFailed: a row that cannot be stored may not be left out, or the rows cannot be routed.
            StoreError: the payload store does not take them.
        """
        batch = work.taken.batch
        rows = put_back(outcome.rows(), work.whole)
        failed = list(outcome.failed)
        data = self.encode(rows, work.whole, failed, work.again)
        routed = self.choose(batch.seq, rows, data)
        chunks, payload = self.store(batch.seq, batch.attempt, rows, data)
        result = Result(
            batch.step,
            batch.seq,
            batch.attempt,
            chunks,
            taken=outcome.taken,
            failed=len(failed),
            lost=work.whole.lost,
            holes=rows.count(None) if failed or work.whole.count < work.whole.length else 0,
            routed=routed,
            worker=self._worker,
            seconds=seconds,
        )
        return Done(work.taken, result, payload, tuple(self.letter(batch, work.whole, failure) for failure in failed))

    def failure(self, taken: Taken, error: str) -> Done:
        """A batch that fails the run."""
        batch = taken.batch
        return Done(taken, Failure(batch.step, batch.seq, batch.attempt, error, self._worker))

    def choose(self, seq: int, rows: list[Row | None], data: bytes) -> tuple[tuple[str, ...], ...] | None:
        """The choice of a routing function that reads rows, for one output; none where there are no rows.

        Raises:
            RoutingFailed: it raised, or chose what it cannot choose.
        """
        if self.routing is None:
            return None
        return (self.routing.choose(seq, data),) if rows else ()

    def store(
        self, seq: int, attempt: int, rows: list[Row | None], data: bytes
    ) -> tuple[tuple[Chunk, ...], bytes | None]:
        """Where the rows go: (chunks of the result, bytes for the broker)."""
        if not rows:
            return (), None
        if self._files is None or len(data) <= self._above:
            return (Chunk(len(rows), len(data)),), data
        name = self._files.write(self._step.name, seq, attempt, data)
        return (Chunk(len(rows), len(data), name),), None

    def encode(
        self, rows: list[Row | None], whole: WholeRows, failed: list[FailedRow], again: Callable[[], WholeRows]
    ) -> bytes:
        """Encodes rows; one that cannot be stored, or lacks a promised column, becomes a failed row, in both lists.

        Args:
            again: reads `whole` anew: the step may have put what cannot be stored into the very rows that it was given.

        Raises:
            StepFailed: `on_error` says `fail`.
        """
        self._fail_incomplete(rows, whole, failed, again)
        try:
            data = encode_rows(rows)
            if len(data) <= self._settings.row_bytes:
                return data
        except RowError:
            pass
        given = None
        for place, row in enumerate(rows):
            if row is None:
                continue
            try:
                check_row(row, self._settings.row_bytes)
            except RowError as error:
                given = given or again()
                rows[place] = self._fail(rows, place, given, failed, error)
        return encode_rows(rows)

    @cached_property
    def _promised(self) -> frozenset[str]:
        return promised_columns(self._step)

    def _fail_incomplete(
        self, rows: list[Row | None], whole: WholeRows, failed: list[FailedRow], again: Callable[[], WholeRows]
    ) -> None:
        """Here, and not where the step is called: to call it again would not bring a column that it does not write."""
        if not (promised := self._promised):
            return
        given = None
        for place, row in enumerate(rows):
            if row is None or promised <= row.keys():
                continue
            missing = ", ".join(f"'{column}'" for column in sorted(promised - row.keys()))
            error = RowError(
                f"step '{self._step.name}' declares the column {missing} in its outputs and did not write it; write it "
                "in every row, None where there is no value, or declare {column: False} for one that a row may lack"
            )
            given = given or again()
            rows[place] = self._fail(rows, place, given, failed, error)

    def _fail(
        self, rows: list[Row | None], place: int, whole: WholeRows, failed: list[FailedRow], error: RowError
    ) -> Row | None:
        if self._step.on_error == "fail":
            raise StepFailed(str(error)) from error
        given: Row | None = None
        made = rows[place]
        if whole.inputs and len(rows) == whole.length and place in whole.positions:
            place = whole.positions.index(place)
            given = whole.inputs[0][place] if place < len(whole.inputs[0]) else None
        kept = given
        if isinstance(made, dict) and not isinstance(error, RowTooLarge):  # it may have been paid for
            kept = {**legible(made), **(given or {})}
        failed.append(FailedRow(place, describe_short(error), 1, kept))
        return failed_output(self._step, given) if given is not None else None

    def letter(self, batch: Batch, whole: WholeRows, failure: FailedRow) -> DeadLetter:
        """A failed row on its way to the run directory."""
        known = failure.place < len(whole.positions)
        return DeadLetter(
            batch.step,
            batch.seq,
            batch.attempt,
            whole.positions[failure.place] if known else failure.place,
            failure.error,
            failure.attempts,
            self._worker,
            failure.row,
        )


def describe_short(error: Exception) -> str:
    """An error of ours: its message says where and what, so that no line of code is needed."""
    return str(error) if isinstance(error, RowError) else describe(error)
