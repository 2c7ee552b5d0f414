"""Steps that say which devices they were given, and whether anybody else was on them. Copied beside specs of tests."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from pydantic import PrivateAttr

from common.steps import CudaDevicePlacementMixin, Step, StepInput, StepOutput

IMPORTED_IN = os.getpid()


class Placed(Step):
    """Adds the devices that its worker sees; `notes` is a folder in which it locks each of them.

    From row 100 on it waits while there is a file `hold` in that folder.
    """

    notes: str
    seconds: float = 0.0

    _locked: list[IO[str]] = PrivateAttr(default_factory=list)

    @property
    def outputs(self) -> list[str]:
        return ["devices", "worker"]

    def load(self) -> None:
        devices = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
        for device in devices.split(","):
            self._locked.append((Path(self.notes) / f"device-{device}").open("w"))
            try:
                fcntl.flock(self._locked[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._note(f"collision {self.name} {device}")
        self._note(f"loaded {self.name} {devices} {os.getpid()} {IMPORTED_IN}")

    def process(self, inputs: StepInput) -> StepOutput:
        time.sleep(self.seconds)
        while inputs[0].get("n", 0) >= 100 and (Path(self.notes) / "hold").exists():
            time.sleep(0.02)
        seen = {"devices": os.environ.get("CUDA_VISIBLE_DEVICES", "none"), "worker": os.getpid()}
        yield [{**row, **seen} for row in inputs]

    def _note(self, line: str) -> None:
        with (Path(self.notes) / "notes.txt").open("a") as file:
            file.write(line + "\n")


class PlacedByItself(Placed, CudaDevicePlacementMixin):
    """The same, with `cuda_devices`."""
