"""The outcome of a batch's rows, before it is stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

from common.errors import RowError, StepFailed
from common.protocol.usage import NO_USAGE, Usage
from common.steps.base import BaseStep, Row
from common.steps.mappings import output_name
from common.steps.metadata import METADATA


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row that failed for good.

    Args:
        place: its place among the whole rows given to the step.
        attempts: how often it was tried, in a batch or alone.
        row: as given to the step, with the step's output if that is what cannot be stored.
        kept: columns that exist nevertheless, by the step's own names.
        ends_run: the fault is not in the row, so that every other row would fail too.
    """

    place: int
    error: str
    attempts: int
    row: Row | None
    kept: Mapping[str, Any] = field(default_factory=dict)
    ends_run: bool = False


@dataclass(frozen=True, slots=True)
class MadeRows:
    """The output of one call of a step: for a row of an asynchronous step, else for a batch or a part of one.

    Args:
        usage: of the models' answers that it holds.
        saved: of those that another run has paid for.
    """

    rows: Sequence[Row | None]
    usage: Usage = NO_USAGE
    saved: Usage = NO_USAGE


@dataclass(slots=True)
class Outcome:
    """The output of a step for `taken` whole rows.

    Args:
        pieces: (rows given, rows made) in order; a failed row is a piece of one row given and a None made.
        failed: the rows that failed.
        asked: calls in which models were asked.
    """

    taken: int
    pieces: list[tuple[int, list[Row | None]]] = field(default_factory=list)
    failed: list[FailedRow] = field(default_factory=list)
    asked: list[MadeRows] = field(default_factory=list)

    def add(self, made: MadeRows, given: int = 1) -> None:
        """The output for so many rows."""
        rows = list(made.rows)
        self.pieces.append((given, rows))
        if made.usage or made.saved:
            self.asked.append(replace(made, rows=rows))

    def usage(self, lost: Collection[int]) -> tuple[Usage, Usage]:
        """(usage, saved) of the answers that are in the output.

        Args:
            lost: ids of rows that cannot be stored; the answers of a call are lost if all rows that it made are.
        """
        kept = [one for one in self.asked if not one.rows or any(id(row) not in lost for row in one.rows)]
        return sum((one.usage for one in kept), Usage()), sum((one.saved for one in kept), Usage())

    def rows(self) -> list[Row | None]:
        """The output rows; row i comes from row i of the input if every piece kept its length.

        Otherwise rows have no place to keep: failed rows go to the end, as holes do.
        """
        if all(given == len(made) for given, made in self.pieces):
            return [row for _, made in self.pieces for row in made]
        whole: list[Row | None] = [row for _, made in self.pieces for row in made if row is not None]
        return [*whole, *[None] * sum(row is None for _, made in self.pieces for row in made)]


class RoutingFailed(StepFailed):
    """The batch fails the run because it is unknown which steps get its rows."""


def died(step: BaseStep, number: int) -> str:
    """What happened to the given number of workers that had a batch and did not finish it."""
    limit = step.batch_timeout
    workers = f"{number} worker{'s' if number != 1 else ''} died"
    return workers if limit is None else f"{workers}, or took longer than {limit:g} s (batch_timeout),"


def failed_output(step: BaseStep, row: Row, kept: Mapping[str, Any] | None = None) -> Row | None:
    """The output for a failed row: a hole, or the row with None outputs (`on_error: nulls`).

    Args:
        kept: outputs that exist nevertheless. What earlier steps said about the row is kept as well.
    """
    if step.on_error != "nulls":
        return None
    found = {METADATA: row.get(METADATA), **(kept or {})}
    return {**row, **{output_name(step, column): found.get(column) for column in step.outputs}}


def columns_of(error: BaseException) -> Mapping[str, Any]:
    """The part of the row that an error carries."""
    return error.columns if isinstance(error, RowError) else {}


def give_up(step: BaseStep, outcome: Outcome, failures: Sequence[FailedRow]) -> None:
    """Adds failed rows to the outcome, as the step's `on_error` says.

    Raises:
        StepFailed: `on_error` is `fail`, or the error is not about the row.
    """
    for failure in failures:
        if step.on_error == "fail" or failure.ends_run:
            raise StepFailed(failure.error)
    for failure in failures:
        outcome.pieces.append((1, [failed_output(step, failure.row or {}, failure.kept)]))
        outcome.failed.append(failure)


def give_up_batch(step: BaseStep, outcome: Outcome, inputs: Sequence[list[Row]], error: str, attempts: int) -> None:
    """Every row of a batch that cannot be split fails; the row of a place is that of the first input with one.

    Raises:
        StepFailed: `on_error` says `fail`.
    """
    rows = [next(row for row in place if row is not None) for place in zip_longest(*inputs)]
    give_up(step, outcome, [FailedRow(place, error, attempts, row) for place, row in enumerate(rows)])
