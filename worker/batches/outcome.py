"""What became of the rows of a batch, before it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from common.errors import RowError, StepFailed
from common.steps.base import BaseStep, Row
from common.steps.metadata import METADATA


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row that failed for good.

    Args:
        place: its place among the whole rows that the step was given.
        attempts: times that it was tried, in a batch or alone.
        row: as the step was given it, with what the step made of it where that is what cannot be kept.
        kept: columns that there are all the same, by the step's own names.
        ends_run: it is not the row that is wrong, so that no other row would fare better.
    """

    place: int
    error: str
    attempts: int
    row: Row | None
    kept: Mapping[str, Any] = field(default_factory=dict)
    ends_run: bool = False


@dataclass(slots=True)
class Outcome:
    """What a step made of `taken` whole rows.

    Args:
        pieces: (rows given, rows made) in order; a failed row is a piece of one row given and a None made.
        failed: the rows that failed.
    """

    taken: int
    pieces: list[tuple[int, list[Row | None]]] = field(default_factory=list)
    failed: list[FailedRow] = field(default_factory=list)

    def rows(self) -> list[Row | None]:
        """Row i of the output comes from row i of the input where every piece kept its length.

        Otherwise rows have no place to keep: what failed goes to the end, as holes do.
        """
        if all(given == len(made) for given, made in self.pieces):
            return [row for _, made in self.pieces for row in made]
        whole: list[Row | None] = [row for _, made in self.pieces for row in made if row is not None]
        return [*whole, *[None] * sum(row is None for _, made in self.pieces for row in made)]


class RoutingFailed(StepFailed):
    """The batch fails the run because nobody knows which steps get its rows."""


def died(step: BaseStep, number: int) -> str:
    """What became of so many workers that had a batch and did not finish it."""
    limit = step.batch_timeout
    workers = f"{number} worker{'s' if number != 1 else ''} died"
    return workers if limit is None else f"{workers}, or took longer than {limit:g} s (batch_timeout),"


def failed_output(step: BaseStep, row: Row, kept: Mapping[str, Any] | None = None) -> Row | None:
    """What stands in the output for a row that failed: a hole, or the row with None outputs (`on_error: nulls`).

    Args:
        kept: outputs that there are all the same. What earlier steps said about the row stays as well.
    """
    if step.on_error != "nulls":
        return None
    found = {METADATA: row.get(METADATA), **(kept or {})}
    return {**row, **{step.output_mappings.get(column, column): found.get(column) for column in step.outputs}}


def columns_of(error: BaseException) -> Mapping[str, Any]:
    """What an error says there is of the row all the same."""
    return error.columns if isinstance(error, RowError) else {}


def give_up(step: BaseStep, outcome: Outcome, failures: Sequence[FailedRow]) -> None:
    """Adds failed rows to the outcome, as the step's `on_error` says.

    Raises:
        StepFailed: it says `fail`, or the error is about something else than the row.
    """
    for failure in failures:
        if step.on_error == "fail" or failure.ends_run:
            raise StepFailed(failure.error)
    for failure in failures:
        outcome.pieces.append((1, [failed_output(step, failure.row or {}, failure.kept)]))
        outcome.failed.append(failure)


def give_up_batch(step: BaseStep, outcome: Outcome, inputs: Sequence[list[Row]], error: str, attempts: int) -> None:
    """Every row of a batch that cannot be taken apart fails; the row of a place is that of the first input with one.

    Raises:
        StepFailed: `on_error` says `fail`.
    """
    rows = [next(row for row in place if row is not None) for place in zip_longest(*inputs)]
    give_up(step, outcome, [FailedRow(place, error, attempts, row) for place, row in enumerate(rows)])
