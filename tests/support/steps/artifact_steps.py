"""Steps that save artifacts, for specs of tests; `write` copies this file beside a spec."""

from __future__ import annotations

import os
from pathlib import Path

from common.steps import GlobalStep, Step, StepInput, StepOutput


class Index(GlobalStep):
    """Saves how many rows it saw; the first time, it raises or dies after that."""

    once: str = ""
    """A file that is there once it has raised or died."""
    dies: bool = False

    def process(self, inputs: StepInput) -> StepOutput:
        self.save_artifact("index", lambda folder: self._write(folder, len(inputs)), {"rows": len(inputs)})
        yield inputs

    def _write(self, folder: Path, rows: int) -> None:
        (folder / "rows.txt").write_text(str(rows))
        if self.once and not Path(self.once).exists():
            Path(self.once).touch()
            if self.dies:
                os.abort()
            raise RuntimeError("the first time is not the last")


class Note(Step):
    """Saves an artifact for each batch."""

    def process(self, inputs: StepInput) -> StepOutput:
        first = inputs[0]["n"]
        self.save_artifact(f"batch-{first}", lambda folder: (folder / "first").write_text(str(first)))
        yield inputs
