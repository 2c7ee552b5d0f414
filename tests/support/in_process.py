"""Runs a pipeline in this process, without a broker: for tests of what steps make together, not of how they are run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from common.errors import RowError
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, Row, Step
from common.steps.mappings import (
    apply_input_mappings,
    apply_input_mappings_to_row,
    apply_output_mappings,
    apply_output_mappings_to_row,
)
from coordinator.plan.load import prepare


def rows_of(spec: Path) -> list[Row]:
    """The rows at the end of a pipeline without routing: each step is run on all rows before the next one."""
    prepared = prepare(spec)
    made: dict[str, list[Row]] = {}
    for name, plan in prepared.plan.steps.items():
        made[name] = through(prepared.steps[name], [made[before] for before in plan.predecessors])
    (leaf,) = prepared.plan.leaves
    return made[leaf]


def through(step: BaseStep, inputs: Sequence[Sequence[Row]]) -> list[Row]:
    """What a step makes of all its rows, one list per predecessor, but for rows of a generator that fail.

    Raises whatever the step raises.
    """
    copies = [[dict(row) for row in rows] for rows in inputs]
    step.load()
    try:
        if isinstance(step, AsyncStep):
            return asyncio.run(all_of(step, copies[0]))
        if isinstance(step, GeneratorStep):
            found = [row for rows, _ in step.process() for row in rows if not isinstance(row, RowError)]
            return apply_output_mappings(step, found, None)
        assert isinstance(step, Step)
        mapped = [apply_input_mappings(step, rows) for rows in copies]
        found = [row for rows in step.process(*(rows for rows, _ in mapped)) for row in rows]
        return apply_output_mappings(step, found, mapped[0][1])
    finally:
        step.unload()


async def all_of(step: AsyncStep, rows: Sequence[Row]) -> list[Row]:
    """All rows at once, in their order."""

    async def one(row: Row) -> list[Row]:
        mapped, aside = apply_input_mappings_to_row(step, row)
        found = await step.process_row(mapped)
        made = [found] if isinstance(found, dict) else list(found or ())
        return [apply_output_mappings_to_row(step, each, aside) for each in made]

    await step.aload()
    try:
        return [row for made in await asyncio.gather(*map(one, rows)) for row in made]
    finally:
        await step.aunload()
