"""Steps made of functions, right ones, for specs in tests: `tests.support.steps.sample_functions:Scale`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import Field

from common.steps import Row, RuntimeParameter, StepInput, step

if TYPE_CHECKING:  # what a checker alone sees is no hindrance where it annotates a result
    from common.steps import GeneratorStepOutput, StepOutput


@step(outputs=["n"], step_type="generator")
def Numbers(offset: int = 0, rows: RuntimeParameter[int] = 5) -> GeneratorStepOutput:
    """Counts."""
    assert rows is not None
    yield [{"n": n} for n in range(offset, rows)], True


@step(inputs=["n"], outputs=["scaled"])
def Scale(inputs: StepInput, factor: RuntimeParameter[int], shift: RuntimeParameter[int] = 0) -> StepOutput:
    """Multiplies."""
    assert factor is not None
    assert shift is not None
    yield [{**row, "scaled": row["n"] * factor + shift} for row in inputs]


@step(inputs={"n": True, "label": False}, outputs=["total"], step_type="global")
def Total(
    rows: StepInput,
    scale: RuntimeParameter[int] = Field(default=1, gt=0, description="Times."),  # noqa: B008
) -> StepOutput:
    assert scale is not None
    yield [{"total": scale * sum(row["n"] for row in rows)}]


@step(outputs=["both"])
def Zip(*inputs: StepInput, mark: RuntimeParameter[str] = "+") -> StepOutput:
    yield [{"both": f"{left['n']}{mark}{right['n']}"} for left, right in zip(*inputs, strict=True)]


@step(inputs=["n"], outputs=["half"], step_type="async")
async def Halve(row: Row, by: RuntimeParameter[int] = 2) -> Row:
    await asyncio.sleep(0)
    assert by is not None
    return {**row, "half": row["n"] // by}
