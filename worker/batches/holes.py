"""Holes: rows that failed upstream keep their place, so that branches stay aligned; steps never see them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
        passed: place in the batch -> a row that passes the step by, as it is behind it.
        undecided: place in the batch -> a row of which it cannot be said whether it does, and why.
    """

    inputs: tuple[list[Row], ...]
    positions: tuple[int, ...]
    length: int
    lost: int
    passed: Mapping[int, Row] = field(default_factory=dict)
    undecided: Mapping[int, tuple[Row, str]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Rows of the longest input."""
        return len(self.positions)

    def row_at(self, place: int) -> Row | None:
        """The row at a place in the batch, of the first input; None where there is none or a hole."""
        if place in self.passed or place not in self.positions:
            return self.passed.get(place)
        number = self.positions.index(place)
        return self.inputs[0][number] if number < len(self.inputs[0]) else None

    @property
    def is_set_aside(self) -> bool:
        """Whether nothing is left for the step, since rows were set aside."""
        return not self.positions and bool(self.passed or self.undecided)

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


def put_back(
    outputs: Sequence[Row | None], whole: WholeRows, aside: Mapping[int, Row | None] | None = None
) -> list[Row | None]:
    """Puts the holes of the input, and rows that were set aside, into an output.

    Args:
        outputs: the step's rows; None where one of its own rows failed.
        aside: place in the batch -> what stands there of a row that the step was not given.

    Returns:
        Holes and these rows in their places if the output is as long as the step's input, else at the end.
    """
    aside, missing = aside or {}, whole.length - whole.count
    if not missing:
        return list(outputs)
    if len(outputs) != whole.count:
        rows = [row for _, row in sorted(aside.items()) if row is not None]
        return [*outputs, *rows, *[None] * (missing - len(rows))]
    restored = [aside.get(place) for place in range(whole.length)]
    for place, row in zip(whole.positions, outputs, strict=True):
        restored[place] = row
    return restored


def put_between(
    made: Sequence[Sequence[Row | None]], whole: WholeRows, aside: Mapping[int, Row | None]
) -> list[Row | None]:
    """`put_back` where the output of each row is known: rows that were set aside keep their order in any case.

    Args:
        made: for each row of the step's input, its output.
    """
    if all(len(rows) == 1 for rows in made):
        return put_back([rows[0] for rows in made], whole, aside)
    places = {place: [row] for place, row in aside.items()} | dict(zip(whole.positions, made, strict=True))
    every = [row for place in range(whole.length) for row in places.get(place, [None])]
    rows = [row for row in every if row is not None]
    return [*rows, *[None] * (len(every) - len(rows))]
