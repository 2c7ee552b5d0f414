"""Steps that note when they are loaded and unloaded. A test of stages gets a copy of this file beside its spec."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
from mysteps import Count, Double, DoubleAsync, Reverse

from common.steps.base import BaseStep, StepInput, StepOutput


class Noted(BaseStep):
    """Writes to the file `events`: what, of which step, by which process, and of which steps others are loaded."""

    events: str

    def load(self) -> None:
        self._note("load")

    def unload(self) -> None:
        self._note("unload")

    def _note(self, what: str) -> None:
        path = Path(self.events)
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        loaded = {int(pid): step for event, step, pid, _ in lines if event == "load"}
        others = {step for pid, step in loaded.items() if pid != os.getpid() and is_alive(pid)}
        with path.open("a") as file:
            file.write(f"{what} {self.name} {os.getpid()} {','.join(sorted(others)) or '-'}\n")


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Source(Noted, Count):
    """A `Count` that notes."""


class Model(Noted, Double):
    """A `Double` that notes."""


class Client(Noted, DoubleAsync):
    """A `DoubleAsync` that notes."""


class Everything(Noted, Reverse):
    """A `Reverse` that notes."""


class Broken(Model):
    """Cannot be loaded while the file `cause` is there; notes that it tried."""

    cause: str = ""

    def load(self) -> None:
        super().load()
        if not self.cause or Path(self.cause).exists():
            raise OSError("the model's weights are not there")


class Gated(Model):
    """Waits before the batch with row `at` for as long as the file `gate` is there."""

    gate: str
    at: int

    def process(self, inputs: StepInput) -> StepOutput:
        while any(row["n"] == self.at for row in inputs) and Path(self.gate).exists():
            time.sleep(0.01)
        yield from super().process(inputs)


class Stubborn(Model):
    """Never finishes its `unload`."""

    def unload(self) -> None:
        super().unload()
        time.sleep(3600)
