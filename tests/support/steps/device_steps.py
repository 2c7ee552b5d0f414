"""Steps for the workers of another host, which get a copy as `gpusteps.py` that imports a package of that host."""

from __future__ import annotations

import time

from common.steps import AsyncStep, GeneratorStep, GeneratorStepOutput, GlobalStep, Row, Step, StepInput, StepOutput


class Numbers(GeneratorStep):
    """Rows {"n": 0}, {"n": 1}, ..."""

    rows: int = 100

    @property
    def outputs(self) -> list[str]:
        return ["n"]

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        while offset < self.rows:
            count = min(self.batch_size, self.rows - offset)
            yield [{"n": n} for n in range(offset, offset + count)], offset + count >= self.rows
            offset += count


class Scale(Step):
    """Adds the column `scaled`."""

    factor: int = 3
    seconds: float = 0.0

    @property
    def inputs(self) -> list[str]:
        return ["n"]

    @property
    def outputs(self) -> list[str]:
        return ["scaled"]

    def process(self, inputs: StepInput) -> StepOutput:
        time.sleep(self.seconds)
        yield [{**row, "scaled": self.factor * row["n"]} for row in inputs]


class Half(AsyncStep):
    """Adds the column `half`, row by row."""

    @property
    def inputs(self) -> list[str]:
        return ["n"]

    @property
    def outputs(self) -> list[str]:
        return ["half"]

    async def process_row(self, row: Row) -> Row:
        return {**row, "half": row["n"] / 2}


class Backwards(GlobalStep):
    """All rows, the last one first."""

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs[::-1]
