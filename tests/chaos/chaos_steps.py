"""Steps for the pipelines of the chaos suite. Each run gets a copy of this file beside its spec."""

from __future__ import annotations

import asyncio
import time

from common.routing import routing_batch_function
from common.steps import AsyncStep, GeneratorStep, GeneratorStepOutput, GlobalStep, Row, Step, StepInput, StepOutput


@routing_batch_function("To the branch that the first row of a batch belongs to.", reads_rows=True)
def by_rows(steps: list[str], rows: list[Row]) -> list[str]:
    return [steps[rows[0]["n"] % len(steps)]]


class Numbers(GeneratorStep):
    """Rows {"n": 0}, {"n": 1}, ..."""

    rows: int
    seconds: float = 0.0

    @property
    def outputs(self) -> list[str]:
        return ["n", "text"]

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        for start in range(offset, self.rows, self.batch_size):
            time.sleep(self.seconds)
            numbers = range(start, min(start + self.batch_size, self.rows))
            yield [{"n": n, "text": f"row {n}"} for n in numbers], numbers.stop == self.rows


class Label(Step):
    """Adds the name of the step as the column `via`; raises for the rows in `bad`."""

    bad: list[int] = []
    seconds: float = 0.0

    @property
    def outputs(self) -> list[str]:
        return ["via"]

    def process(self, inputs: StepInput) -> StepOutput:
        for row in inputs:
            if row["n"] in self.bad:
                raise ValueError(f"row {row['n']} is bad")
        time.sleep(self.seconds)
        yield [{**row, "via": self.name} for row in inputs]


class LabelAsync(AsyncStep):
    """As `Label`, row by row."""

    bad: list[int] = []
    seconds: float = 0.0

    @property
    def outputs(self) -> list[str]:
        return ["via"]

    async def process_row(self, row: Row) -> Row:
        await asyncio.sleep(self.seconds)
        if row["n"] in self.bad:
            raise ValueError(f"row {row['n']} is bad")
        return {**row, "via": self.name}


class Some(Step):
    """A filter: drops every third row."""

    seconds: float = 0.0

    @property
    def outputs(self) -> list[str]:
        return ["via"]

    def process(self, inputs: StepInput) -> StepOutput:
        time.sleep(self.seconds)
        yield [{**row, "via": self.name} for row in inputs if row["n"] % 3]


class Together(Step):
    """A convergence step: the rows of all branches, one after the other."""

    def process(self, *inputs: StepInput) -> StepOutput:
        yield [row for rows in inputs for row in rows]


class Twice(Step):
    """An expander: two rows for one, in two yields."""

    seconds: float = 0.0

    @property
    def outputs(self) -> list[str]:
        return ["copy"]

    def process(self, inputs: StepInput) -> StepOutput:
        time.sleep(self.seconds)
        yield [{**row, "copy": 0} for row in inputs]
        yield [{**row, "copy": 1} for row in inputs]


class Backwards(GlobalStep):
    """All rows, the last one first."""

    seconds: float = 0.0

    def process(self, inputs: StepInput) -> StepOutput:
        time.sleep(self.seconds)
        yield inputs[::-1]
