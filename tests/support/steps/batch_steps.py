"""Steps that note in their rows what they were given. A test gets a copy beside its spec."""

from __future__ import annotations

import time
from itertools import zip_longest
from pathlib import Path

from common.steps import GlobalStep, Step, StepInput, StepOutput


class Told(Step):
    """Adds how large its batch was.

    Args:
        overtaken: a file that later batches make; the first one waits for it and takes half a second more.
    """

    overtaken: str = ""

    @property
    def outputs(self) -> list[str]:
        return ["size"]

    def process(self, inputs: StepInput) -> StepOutput:
        if self.overtaken and inputs[0]["n"]:
            Path(self.overtaken).touch()
        elif self.overtaken:
            deadline = time.monotonic() + 30
            while not Path(self.overtaken).exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.5)
        yield [{**row, "size": len(inputs)} for row in inputs]


class Pairs(Step):
    """What stands at the same place of two lists, and how long they are."""

    @property
    def outputs(self) -> list[str]:
        return ["pair", "lengths"]

    def process(self, *inputs: StepInput) -> StepOutput:
        lengths = [len(rows) for rows in inputs]
        yield [{"pair": [row and row["n"] for row in place], "lengths": lengths} for place in zip_longest(*inputs)]


class EveryOther(Step):
    """Nothing of its first batch, all of the second, and so on: it counts the rows, so the batches must have ten."""

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs if inputs[0]["n"] // 10 % 2 else []


class Nothing(Step):
    """Does not yield at all."""

    def process(self, inputs: StepInput) -> StepOutput:
        yield from ()


class All(GlobalStep):
    """One row of everything."""

    @property
    def outputs(self) -> list[str]:
        return ["kinds", "first", "second"]

    def process(self, *inputs: StepInput) -> StepOutput:
        first, second = ([[row["n"], row.get("copy", 0)] for row in rows] for rows in inputs)
        yield [{"kinds": [type(rows).__name__ for rows in inputs], "first": first, "second": second}]
