"""Small steps of a user's own, right and wrong, for specs in tests: `tests.support.steps.sample_steps:Upper`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from common.steps.base import (
    AsyncStep,
    BaseStep,
    GeneratorStep,
    GeneratorStepOutput,
    GlobalStep,
    Row,
    Step,
    StepInput,
    StepOutput,
)


class Load(GeneratorStep):
    """Rows with a column `text`, from a file that is not opened here."""

    path_fields: ClassVar[tuple[str, ...]] = ("path", "others")

    path: str = "data.txt"
    others: list[str] = []
    columns: list[str] = ["text"]

    @property
    def outputs(self) -> list[str]:
        return self.columns

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        yield [], True


class LoadFile(Load):
    """Its data is the text of a file."""

    def fingerprint(self) -> str:
        return Path(self.path).read_text()


class LoadAnything(GeneratorStep):
    """Its columns depend on the data."""

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        return None

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        yield [], True


class Upper(Step):
    """Needs `text`, writes `upper`."""

    lowercase: bool = False
    words: dict[str, int] = {}

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["upper"]

    def process(self, inputs: StepInput) -> StepOutput:
        yield [{**row, "upper": row["text"].upper()} for row in inputs]


class Optional(Upper):
    """Reads `text` where there is one."""

    @property
    def inputs(self) -> dict[str, bool]:  # type: ignore[override]
        return {"text": False}


class Keep(Step):
    """Drops everything but `columns`."""

    columns: list[str]

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        return set(self.columns)

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs


class Join(Step):
    """Takes any number of predecessors."""

    def process(self, *inputs: StepInput) -> StepOutput:
        yield inputs[0]


class All(GlobalStep):
    """Takes all rows of any number of predecessors."""

    def process(self, *inputs: StepInput) -> StepOutput:
        yield inputs[0]


class Ask(AsyncStep):
    """One row at a time."""

    async def process_row(self, row: Row) -> Row:
        return row


class NotAsync(AsyncStep):
    def process_row(self, row: Row) -> Row:  # type: ignore[override]
        return row


class NoInput(Step):
    def process(self, inputs: list[Row]) -> StepOutput:
        yield inputs


class TwoInputs(Step):
    def process(self, left: StepInput, right: StepInput) -> StepOutput:
        yield left


class NoOffset(GeneratorStep):
    def process(self) -> GeneratorStepOutput:  # type: ignore[override]
        yield [], True


class GeneratorWithInput(GeneratorStep):
    def process(self, inputs: StepInput, offset: int = 0) -> GeneratorStepOutput:  # type: ignore[override]
        yield [], True


class BrokenInputs(Step):
    @property
    def inputs(self) -> list[str]:
        raise RuntimeError("no model file")

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs


class Unfinished(Step):
    """Has no `process`."""


class NotAStep:
    pass


def make_step() -> BaseStep | Any:
    return None
