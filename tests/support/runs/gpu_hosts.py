"""Runs on hosts that declare GPUs."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.broker.connection import Connection
from common.protocol.keys import device_key
from tests.support.places import STEPS_FOLDER
from tests.support.runs.harness import Command, Harness, wait_for

HOST = socket.gethostname()
LEASE = 3.0
"""Of a worker and of its devices, in seconds: a busy machine may keep a process waiting for more than one."""
STEPS = STEPS_FOLDER / "gpu_steps.py"
ONE = """
name: {name}
steps:
  load: {{type: "mysteps:Count", rows: {rows}, batch_size: 10}}
  placed:
    type: "gpu_steps:Placed"
    after: load
    input_batch_size: 10
    notes: "{notes}"
    seconds: {seconds}
    resources: {{gpus: {gpus}, replicas: {replicas}}}
"""


@dataclass(frozen=True)
class Loaded:
    """A worker that has loaded its step."""

    step: str
    devices: str
    pid: int
    imported_in: int


class Gpus(Harness):
    """A harness whose host has the devices that `PENSTOCK_DEVICES` lists."""

    def write(self, text: str, **values: object) -> Path:
        """Writes a spec and the steps that it takes from `gpu_steps`."""
        (self.folder / "gpu_steps.py").write_text(STEPS.read_text())
        defaults = {"name": "gpus", "rows": 200, "seconds": 0.05, "gpus": 1, "replicas": 1, "notes": self.folder}
        return self.write_spec(text.format(**{**defaults, **values}))

    def hold(self) -> None:
        """No run ends before `release`."""
        (self.folder / "hold").touch()

    def release(self) -> None:
        (self.folder / "hold").unlink(missing_ok=True)

    def start_worker(self, url: str, step: str, **settings: str) -> Command:
        """An external worker."""
        return self.start(
            *("pipeline-worker", "--step", step, "--broker", url, "--allow", "mysteps", "--allow", "gpu_steps"),
            *("--base-dir", "."),
            **settings,
        )

    def loaded(self, step: str = "placed") -> list[Loaded]:
        """Those who have loaded a step so far; no worker may have found another one on its device."""
        notes = self.folder / "notes.txt"
        lines = [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []
        assert [line for line in lines if line[0] == "collision"] == []
        return [Loaded(line[1], line[2], int(line[3]), int(line[4])) for line in lines if line[1] == step]

    def wait_for_loaded(self, count: int, step: str = "placed") -> list[Loaded]:
        return wait_for(lambda: len(found := self.loaded(step)) >= count and found, 60, f"{count} workers of '{step}'")


def hosts_of(folder: Path) -> Iterator[Gpus]:
    """For a fixture: a harness that leaves no process behind."""
    harness = Gpus(folder, {"DEVICES": "0,1", "STARTING_HINT": "0.5", "WORKER_LEASE": str(LEASE)})
    try:
        yield harness
    finally:
        harness.end()


def holder(url: str, device: int = 0) -> str:
    """The holder in the lease of a device."""
    connection = Connection(url)
    found = connection.command("GET", device_key(HOST, str(device))) or b""
    connection.close()
    return str(found.decode())
