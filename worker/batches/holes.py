"""Holes: rows that failed upstream keep their place, so that branches stay aligned; steps never see them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WholeRows:
    """The part of a batch that a step is given.

    Args:
        inputs: one list per predecessor, without holes.
        positions: places of the rows of `inputs` in the batch; those of the longest input.
        length: places in the batch, holes counted.
        lost: places dropped because one predecessor has a hole where another has a row.
    """

    inputs: tuple[list[Row], ...]
    positions: tuple[int, ...]
    length: int
    lost: int

    @property
    def count(self) -> int:
        """Rows of the longest input."""
        return len(self.positions)

    @property
    def aligned(self) -> bool:
        """Whether the inputs are equally long, so that row i of each belongs to row i of the others."""
        return all(len(rows) == self.count for rows in self.inputs)


def take_whole(inputs: Sequence[Sequence[Row | None]]) -> WholeRows:
    """Keeps the positions that are whole in every input long enough to have them."""
    length = max((len(rows) for rows in inputs), default=0)
    holes = {place for rows in inputs for place, row in enumerate(rows) if row is None}
    if not holes:
        return WholeRows(tuple(list(rows) for rows in inputs), tuple(range(length)), length, 0)  # type: ignore[arg-type]
    lost = sum(1 for place in holes if any(place < len(rows) and rows[place] is not None for rows in inputs))
    kept = tuple([row for place, row in enumerate(rows) if row is not None and place not in holes] for rows in inputs)
    return WholeRows(kept, tuple(place for place in range(length) if place not in holes), length, lost)


def put_back(outputs: Sequence[Row | None], whole: WholeRows) -> list[Row | None]:
    """Puts the holes of the input into an output.

    Args:
        outputs: the step's rows; None where one of its own rows failed.

    Returns:
        Holes in their places if the output is as long as the step's input, else at the end.
    """
    missing = whole.length - whole.count
    if not missing:
        return list(outputs)
    if len(outputs) != whole.count:
        return [*outputs, *[None] * missing]
    restored: list[Row | None] = [None] * whole.length
    for place, row in zip(whole.positions, outputs, strict=True):
        restored[place] = row
    return restored
