"""Steps for specs of tests. A test gets a copy of this file as `mysteps.py` beside its spec."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from common.steps import AsyncStep, GeneratorStep, GeneratorStepOutput, GlobalStep, Row, Step, StepInput, StepOutput


class Count(GeneratorStep):
    """Rows {"n": 0}, {"n": 1}, ... with a text beside each."""

    rows: int = 500
    seconds: float = 0.0

    @property
    def outputs(self) -> list[str]:
        return ["n", "text"]

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        while offset < self.rows:
            time.sleep(self.seconds)
            count = min(self.batch_size, self.rows - offset)
            yield [{"n": n, "text": f"row {n}"} for n in range(offset, offset + count)], offset + count >= self.rows
            offset += count


class Double(Step):
    """Adds the column `double`; may be slow, and may note every row that it runs in a file."""

    seconds: float = 0.0
    notes: str = ""

    @property
    def inputs(self) -> list[str]:
        return ["n"]

    @property
    def outputs(self) -> list[str]:
        return ["double"]

    def process(self, inputs: StepInput) -> StepOutput:
        time.sleep(self.seconds)
        if self.notes:
            with Path(self.notes).open("a") as file:
                file.writelines(f"{os.getpid()} {row['n']}\n" for row in inputs)
        yield [{**row, "double": 2 * row["n"]} for row in inputs]


class DoubleAsync(AsyncStep):
    """Adds the column `double`, row by row."""

    seconds: float = 0.01

    @property
    def inputs(self) -> list[str]:
        return ["n"]

    @property
    def outputs(self) -> list[str]:
        return ["double"]

    async def process_row(self, row: Row) -> Row:
        await asyncio.sleep(self.seconds)
        return {**row, "double": 2 * row["n"]}


class KeepOdd(Step):
    """A filter."""

    def process(self, inputs: StepInput) -> StepOutput:
        yield [row for row in inputs if row["n"] % 2]


class Twice(Step):
    """An expander: two rows for one, in two yields."""

    @property
    def outputs(self) -> list[str]:
        return ["copy"]

    def process(self, inputs: StepInput) -> StepOutput:
        yield [{**row, "copy": 0} for row in inputs]
        yield [{**row, "copy": 1} for row in inputs]


class Reverse(GlobalStep):
    """All rows, the last one first."""

    seconds: float = 0.0

    def process(self, inputs: StepInput) -> StepOutput:
        time.sleep(self.seconds)
        yield inputs[::-1]


class Gated(Double):
    """A `Double` that waits, in `load` or before the batch with the row `at`, for as long as a file is there.

    Its process id is then in a file of the same name with the suffix `.waiting`.
    """

    gate: str
    at: int | None = None

    def load(self) -> None:
        if self.at is None:
            self._wait()

    def process(self, inputs: StepInput) -> StepOutput:
        if any(row["n"] == self.at for row in inputs):
            self._wait()
        yield from super().process(inputs)

    def unload(self) -> None:
        print("unloaded")

    def _wait(self) -> None:
        gate = Path(self.gate)
        if gate.exists():
            with gate.with_suffix(".waiting").open("a") as file:
                file.write(f"{os.getpid()}\n")
        while gate.exists():
            time.sleep(0.01)


class Lingering(Gated):
    """A `Double` that waits in `unload`."""

    def load(self) -> None:
        """At once."""

    def unload(self) -> None:
        self._wait()
