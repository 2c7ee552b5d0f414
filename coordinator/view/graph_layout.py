"""The places of a pipeline's steps in a picture: one row per trophic level, few crossings. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coordinator.plan.plan import Plan

SWEEPS = 4
"""How often each row is ordered by its neighbouring rows; more passes hardly ever change a picture."""


@dataclass(frozen=True, slots=True)
class Place:
    """Row from the top and column from the left, both from 0. A row with fewer steps is centred."""

    row: int
    column: float


def lay_out(plan: Plan) -> dict[str, Place]:
    """The place of each step; no step stands above one of its predecessors."""
    rows = _levels(plan)
    for sweep in range(SWEEPS):
        downward = sweep % 2 == 0
        neighbours = {name: plan.steps[name].predecessors if downward else plan.successors(name) for name in plan.steps}
        for index in range(len(rows)) if downward else reversed(range(len(rows))):
            column = {name: place for row in rows for place, name in enumerate(row)}
            rows[index] = _ordered(rows[index], neighbours, column)
    widest = max(len(row) for row in rows)
    return {
        name: Place(index, place + (widest - len(row)) / 2)
        for index, row in enumerate(rows)
        for place, name in enumerate(row)
    }


def _levels(plan: Plan) -> list[list[str]]:
    level: dict[str, int] = {}
    for name, step in plan.steps.items():
        level[name] = max((level[before] + 1 for before in step.predecessors), default=0)
    rows: list[list[str]] = [[] for _ in range(max(level.values()) + 1)]
    for name, row in level.items():
        rows[row].append(name)
    return rows


def _ordered(row: Sequence[str], neighbours: Mapping[str, Sequence[str]], column: Mapping[str, int]) -> list[str]:
    """Orders a row by the mean column of each step's neighbours; a step without neighbours stays where it is."""

    def middle(name: str) -> float:
        near = neighbours[name]
        return sum(column[other] for other in near) / len(near) if near else column[name]

    return sorted(row, key=middle)
