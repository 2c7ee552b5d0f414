"""Steps that do nothing, so that only the engine is measured, on the same rows as `bare_loop.py`."""

from __future__ import annotations

import time
from pathlib import Path

from bare_loop import make_rows

from penstock.steps import GeneratorStep, GeneratorStepOutput, Step, StepInput, StepOutput


class MakeRows(GeneratorStep):
    """Rows of about 500 bytes."""

    rows: int = 200_000

    @property
    def outputs(self) -> list[str]:
        return ["id", "instruction", "generation"]

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        while offset < self.rows:
            count = min(self.batch_size, self.rows - offset)
            yield make_rows(offset, count), offset + count >= self.rows
            offset += count


class PassOn(Step):
    """Passes its rows on."""

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs


class PassOnTimed(PassOn):
    """Notes in a file when it got its first batch."""

    stamp: str

    def process(self, inputs: StepInput) -> StepOutput:
        if not Path(self.stamp).exists():
            Path(self.stamp).write_text(repr(time.time()))
        yield inputs
