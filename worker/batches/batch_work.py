"""A batch in a worker's hands: its input, and what will be committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from common.broker.commits import Done
from common.broker.inbox import Taken
from common.building.columns import promised_columns
from common.errors import RowError, RowTooLarge, RunError, StepFailed, describe
from common.payloads.stores import FileStore
from common.protocol.batch import Batch, Chunk, DeadLetter, Failure, Payload, Result
from common.protocol.codec import check_row, encode_rows
from common.protocol.legible import legible
from common.protocol.usage import Usage
from common.settings import Settings
from common.steps.base import AsyncStep, BaseStep, GlobalStep, Row
from worker.batches.holes import WholeRows, put_back, put_between
from worker.batches.outcome import FailedRow, Outcome, failed_output
from worker.batches.row_routing import RowRouting


@dataclass(frozen=True, slots=True)
class Work:
    """A batch with its rows.

    Args:
        whole: the rows that the step is given; empty for a generator's ticket.
        again: reads the same rows once more, since a step may change what it is given.
        broken: why the rows are unavailable, if they are.
    """

    taken: Taken
    whole: WholeRows
    again: Callable[[], WholeRows]
    broken: RunError | None = None


@dataclass(frozen=True, slots=True)
class Pieces:
    """How an output too large for its commit is stored.

    Args:
        rows: of each piece.
        stage: stores one piece.
    """

    rows: int
    stage: Callable[[Payload, bytes], None]


class Packer:
    """Turns the output of a step into a commit.

    Args:
        files: the store for payloads outside the broker; None to keep all in the broker.
        above: size in bytes above which payloads go there.
        routing: chooses the successors of the rows, if the worker does that.
        counts: whether results say what calls of models took; older coordinators do not read that.
    """

    def __init__(
        self,
        step: BaseStep,
        worker_id: str,
        settings: Settings,
        files: FileStore | None,
        routing: RowRouting | None = None,
        above: int = 0,
        *,
        counts: bool = True,
    ) -> None:
        self._step = step
        self._worker = worker_id
        self._settings = settings
        self._files = files
        self._above = above
        self._counts = counts
        self.routing = routing

    @property
    def may_wait(self) -> bool:
        """Whether its output goes to a store that may be slow."""
        return self._files is not None

    def pack(
        self, work: Work, outcome: Outcome, seconds: float, *, last: bool = False, pieces: Pieces | None = None
    ) -> Done:
        """The result of a batch that ran, its failed rows as dead letters.

        Args:
            seconds: that the step took.
            last: the generator has no more rows.
            pieces: how the rows are stored ahead of the commit; None if they go with it as one output.

        Raises:
            StepFailed: a row that cannot be stored may not be dropped, or the rows cannot be routed.
            StoreError: the payload store does not accept them.
        """
        batch, whole = work.taken.batch, work.whole
        rows = self._in_order(outcome, whole)
        failed = [*_in_places(outcome.failed, whole), *_undecided(whole)]
        chunks: list[Chunk] = []
        routed: list[tuple[str, ...]] = []
        payload: bytes | None = None
        holes = 0
        lost: set[int] = set()
        size = pieces.rows if pieces else max(1, len(rows))
        for number, start in enumerate(range(0, len(rows), size)):
            some = rows[start : start + size]
            output = Payload(batch.step, number if pieces else batch.seq, batch.attempt)
            unstorable: list[FailedRow] = []
            data = self._encode(some, whole, unstorable, work.again)
            if unstorable:
                made = rows[start : start + size]
                lost |= {id(row) for row, stored in zip(made, some, strict=True) if row is not stored}
            failed.extend(replace(one, place=start + one.place) for one in unstorable)
            if failed or whole.count < whole.length:
                holes += some.count(None)
            if self.routing is not None:
                routed.append(self.routing.choose(output.seq, data))
            chunk, payload = self._store(output, len(some), data)
            chunks.append(chunk)
            if pieces and payload is not None:
                pieces.stage(output, payload)
                payload = None
        usage, saved = outcome.usage(lost) if self._counts else (Usage(), Usage())
        result = Result(
            batch.step,
            batch.seq,
            batch.attempt,
            tuple(chunks),
            taken=outcome.taken + len(whole.passed) + len(whole.undecided),
            failed=len(failed),
            lost=whole.lost,
            holes=holes,
            skipped=len(whole.passed),
            last=last,
            routed=None if self.routing is None else tuple(routed),
            worker=self._worker,
            seconds=seconds,
            usage=usage,
            saved=saved,
        )
        return Done(work.taken, result, payload, tuple(self._letter(batch, failure) for failure in failed))

    def _in_order(self, outcome: Outcome, whole: WholeRows) -> list[Row | None]:
        """The output rows, with what the step was not given."""
        unmade = {place: failed_output(self._step, row) for place, (row, _) in whole.undecided.items()}
        aside = {**whole.passed, **unmade}
        if aside and isinstance(self._step, AsyncStep):
            return put_between([made for _, made in outcome.pieces], whole, aside)
        return put_back(outcome.rows(), whole, aside)

    def failure(self, taken: Taken, error: str) -> Done:
        """A batch that fails the run."""
        batch = taken.batch
        return Done(taken, Failure(batch.step, batch.seq, batch.attempt, error, self._worker))

    def _store(self, output: Payload, rows: int, data: bytes) -> tuple[Chunk, bytes | None]:
        """The stored rows: (chunk of the result, bytes for the broker)."""
        if self._files is None or len(data) <= self._above:
            return Chunk(rows, len(data)), data
        name = self._files.write(output.step, output.seq, output.attempt, data)
        return Chunk(rows, len(data), name), None

    def _encode(
        self, rows: list[Row | None], whole: WholeRows, failed: list[FailedRow], again: Callable[[], WholeRows]
    ) -> bytes:
        """Encodes rows; a row that cannot be stored, or lacks a promised column, becomes a failed row, in both lists.

        Args:
            again: rereads `whole`: the step may have put values that cannot be stored into its input rows.

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
        """Done here, not where the step is called: calling it again would not add a column that it does not write."""
        if not (promised := self._promised):
            return
        given = None
        for place, row in enumerate(rows):
            if row is None or promised <= row.keys():
                continue
            missing = ", ".join(f"'{column}'" for column in sorted(promised - row.keys()))
            error = RowError(
                f"step '{self._step.name}' declares the column {missing} in its outputs but did not write it; write it "
                "in every row (None for no value), or declare it optional: {column: False}"
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
        if whole.inputs and len(rows) == whole.length and not isinstance(self._step, GlobalStep):
            given = whole.row_at(place)
        kept = given
        if isinstance(made, dict) and not isinstance(error, RowTooLarge):  # it may have been paid for
            kept = {**legible(made), **(given or {})}
        failed.append(FailedRow(place, describe_short(error), 1, kept))
        return failed_output(self._step, given) if given is not None else self._without_outputs(made)

    def _without_outputs(self, made: Row | None) -> Row | None:
        """For `nulls`, of a row that a global step made: it is unknown which row it comes of, as the step may sort."""
        row = failed_output(self._step, made) if made is not None and isinstance(self._step, GlobalStep) else None
        try:
            check_row(row, self._settings.row_bytes)
        except RowError:  # or there is none
            return None
        return row

    def _letter(self, batch: Batch, failure: FailedRow) -> DeadLetter:
        """A failed row on its way to the run directory."""
        return DeadLetter(
            batch.step,
            batch.seq,
            batch.attempt,
            failure.place,
            failure.error,
            failure.attempts,
            self._worker,
            failure.row,
        )


def _in_places(failed: Iterable[FailedRow], whole: WholeRows) -> Iterator[FailedRow]:
    """With places in the batch, in place of those among the step's rows."""
    places = whole.positions
    return (replace(one, place=places[one.place]) if one.place < len(places) else one for one in failed)


def _undecided(whole: WholeRows) -> Iterator[FailedRow]:
    return (FailedRow(place, why, 1, row) for place, (row, why) in whole.undecided.items())


def describe_short(error: Exception) -> str:
    """An error of Penstock itself: its message names place and fault, so no line of code is needed."""
    return str(error) if isinstance(error, RowError) else describe(error)
