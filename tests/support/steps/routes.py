"""Routing functions for specs of tests, and steps to be routed. A test gets a copy beside its spec."""

from __future__ import annotations

import os
import time
from pathlib import Path

from common.routing import routing_batch_function
from common.steps import AsyncStep, GeneratorStep, GeneratorStepOutput, GlobalStep, Row, Step, StepInput, StepOutput


def topic(n: int) -> str:
    return "sea" if n // 7 % 3 else "land"


@routing_batch_function("To the steps that are named as the topics of the rows.", reads_rows=True)
def by_topic(steps: list[str], rows: list[Row]) -> list[str]:
    found = {row["topic"] for row in rows}
    for row in rows:
        row.clear()  # its successors must not notice
    return [step for step in steps if step in found]


@routing_batch_function(reads_rows=True)
def while_there_is(steps: list[str], rows: list[Row], cause: str, at: int, what: str) -> list[str]:
    """`by_topic`, but for the batch with row `at` for as long as a file is there."""
    if any(row["n"] == at for row in rows) and Path(cause).exists():
        match what:
            case "raise":
                raise LookupError("no way")
            case "nothing":
                return []
            case "unknown":
                return ["sky"]
            case "kill":
                os._exit(1)
    return by_topic(steps, rows)


@routing_batch_function()
def in_turn(steps: list[str], seq: int, first: int = 0) -> list[str]:
    return [steps[(first + seq) % len(steps)]]


class Numbers(GeneratorStep):
    """Rows with a topic."""

    rows: int = 200

    @property
    def outputs(self) -> list[str]:
        return ["n", "topic"]

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        for start in range(offset, self.rows, self.batch_size):
            numbers = range(start, min(start + self.batch_size, self.rows))
            yield [{"n": n, "topic": topic(n)} for n in numbers], numbers.stop == self.rows


class Label(Step):
    """Adds the topic; raises for some rows, or ends the process."""

    bad: list[int] = []
    fatal: list[int] = []

    @property
    def outputs(self) -> list[str]:
        return ["topic"]

    def process(self, inputs: StepInput) -> StepOutput:
        for row in inputs:
            if row["n"] in self.fatal:
                os._exit(1)
            if row["n"] in self.bad:
                raise ValueError(f"row {row['n']} is bad")
        yield [{**row, "topic": topic(row["n"])} for row in inputs]


class LabelAsync(AsyncStep):
    @property
    def outputs(self) -> list[str]:
        return ["topic"]

    async def process_row(self, row: Row) -> Row:
        return {**row, "topic": topic(row["n"])}


class LabelAll(GlobalStep):
    @property
    def outputs(self) -> list[str]:
        return ["topic"]

    def process(self, inputs: StepInput) -> StepOutput:
        yield [{**row, "topic": topic(row["n"])} for row in inputs]


class Via(Step):
    """Adds the name of the step."""

    seconds: float = 0.0

    @property
    def outputs(self) -> list[str]:
        return ["via"]

    def process(self, inputs: StepInput) -> StepOutput:
        time.sleep(self.seconds)
        yield [{**row, "via": self.name} for row in inputs]


class Together(Step):
    """The rows of all predecessors, one after the other."""

    def process(self, *inputs: StepInput) -> StepOutput:
        yield [row for rows in inputs for row in rows]
