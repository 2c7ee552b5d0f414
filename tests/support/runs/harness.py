"""Runs the real commands as real processes, with leases of a second, and looks at what they leave."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from common.protocol.batch import DeadLetter
from coordinator.runs.failures import FailureLog
from coordinator.runs.run_directory import RunRecord
from tests.support.places import STEPS_FOLDER
from tests.support.runs.prefork import REPOSITORY, Forked, parent

T = TypeVar("T")
STEPS = STEPS_FOLDER / "steps.py"
"""Step classes for specs: each test gets a copy beside its spec, as the module `mysteps`."""
FAST = {"WORKER_LEASE": "1", "COORDINATOR_LEASE": "1", "GRACE": "10", "PATIENCE": "20", "FLUSH_INTERVAL": "1"}


@dataclass(slots=True)
class Command:
    """A command under way."""

    process: subprocess.Popen[bytes] | Forked
    output: Path

    def wait(self, timeout: float = 60) -> int:
        """Its exit code."""
        return self.process.wait(timeout)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to this process alone."""
        self.process.send_signal(number)

    @property
    def text(self) -> str:
        """What it has printed so far, both streams."""
        return self.output.read_text()


@dataclass(slots=True)
class Harness:
    """A folder with a spec and steps, and the commands run there.

    Args:
        settings: environment settings on top of `FAST`, without the prefix.
        fresh: each command is a new interpreter, not a fork of one that has imported everything (`prefork.py`).
    """

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    fresh: bool = False
    commands: list[Command] = field(default_factory=list)

    def write_spec(self, text: str, name: str = "spec.yaml") -> Path:
        """Writes a spec, and `mysteps.py` beside it; `failing_steps.py` too where the spec names it."""
        (self.folder / "mysteps.py").write_text(STEPS.read_text())
        if "failing_steps:" in text:
            (self.folder / "failing_steps.py").write_text(STEPS.with_name("failing_steps.py").read_text())
        path = self.folder / name
        path.write_text(text)
        return path

    def start(self, command: str, *arguments: str | Path, **settings: str) -> Command:
        """Starts `pipeline-coordinator` or `pipeline-worker` in a session of its own."""
        module = {"pipeline-coordinator": "coordinator.cli", "pipeline-worker": "worker.cli"}[command]
        texts = [str(argument) for argument in arguments]
        if self.fresh:
            return self._start(command, ["-P", "-m", module, *texts], settings)
        output, environment = self._output(command), self._environment(settings)
        output.touch()  # it is read before the fork has opened it
        return self._note(parent().start(module, texts, environment, self.folder, output), output)

    def start_module(self, name: str, module: str, *arguments: str, **settings: str) -> Command:
        """Starts a module of the tests."""
        return self._start(name, ["-P", "-m", module, *arguments], settings)

    def start_script(self, text: str, *arguments: str, **settings: str) -> Command:
        """Starts `script.py` of this text, with `mysteps.py` beside it."""
        (self.folder / "mysteps.py").write_text(STEPS.read_text())
        (self.folder / "script.py").write_text(text)
        return self._start("script", ["script.py", *arguments], settings)

    def run_script(self, text: str, *arguments: str, timeout: float = 60, **settings: str) -> tuple[int, str]:
        """A script to its end: exit code and output."""
        command = self.start_script(text, *arguments, **settings)
        return command.wait(timeout), command.text

    def _output(self, name: str) -> Path:
        return self.folder / f"{name}-{len(self.commands)}.out"

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        return {
            **os.environ,
            **{f"PENSTOCK_{key}": value for key, value in {**FAST, **self.settings, **settings}.items()},
            "PENSTOCK_CACHE_DIR": str(self.folder / "cache"),
            "PYTHONPATH": str(REPOSITORY),
        }

    def _start(self, name: str, arguments: list[str], settings: Mapping[str, str]) -> Command:
        output = self._output(name)
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment(settings),
                cwd=self.folder,
                start_new_session=True,
            )
        return self._note(process, output)

    def _note(self, process: subprocess.Popen[bytes] | Forked, output: Path) -> Command:
        started = Command(process, output)
        self.commands.append(started)
        return started

    def start_run(self, spec: Path, *arguments: str | Path, **settings: str) -> Command:
        """Starts `pipeline-coordinator run`."""
        return self.start("pipeline-coordinator", "run", spec, *arguments, **settings)

    def run(self, spec: Path, *arguments: str | Path, timeout: float = 60, **settings: str) -> tuple[int, str]:
        """`pipeline-coordinator run` to its end: exit code and output."""
        command = self.start_run(spec, *arguments, **settings)
        code = command.wait(timeout)
        return code, command.text

    @property
    def run_directory(self) -> Path:
        """The one run directory below the cache."""
        (record,) = (self.folder / "cache").glob("*/*/run.json")
        return record.parent

    def rows(self, leaf: str | None = None, dataset: Path | None = None) -> list[dict[str, Any]]:
        """Rows of a leaf of the complete dataset, in order."""
        import pyarrow.parquet as pq

        folder = dataset or self.run_directory / "dataset"
        leaves = [leaf] if leaf else [path.name for path in folder.iterdir() if path.is_dir()]
        assert len(leaves) == 1, f"say which of {leaves}"
        files = sorted((folder / leaves[0]).glob("*.parquet"))
        return [row for file in files for row in pq.read_table(file).to_pylist()]

    def letters(self) -> list[DeadLetter]:
        """The dead letters that count, in the order of the file."""
        return list(FailureLog(self.run_directory / "failures.jsonl").read())

    def record(self) -> RunRecord:
        """What `run.json` says."""
        return RunRecord.model_validate_json((self.run_directory / "run.json").read_bytes())

    @property
    def log(self) -> str:
        """The run's `pipeline.log`."""
        return (self.run_directory / "pipeline.log").read_text()

    def digest(self, leaf: str | None = None, dataset: Path | None = None) -> str:
        """Identifies the rows of a leaf and their order."""
        text = json.dumps(self.rows(leaf, dataset), default=str, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def processes(self) -> list[psutil.Process]:
        """Everything alive that belongs to this folder: commands, workers, keepers, guardian, broker."""
        mine = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and self._is_mine(process):
                    mine.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return mine

    def left_over(self) -> list[psutil.Process]:
        """Processes that are alive, but for keepers, which end soon after their worker."""
        return psutil.wait_procs(self.processes(), 20)[1]

    def _is_mine(self, process: psutil.Process) -> bool:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.environ().get("PENSTOCK_CACHE_DIR") == str(self.folder / "cache"):
            return True
        # A server that shows its state in its title has overwritten its environment, and a fork has another one's.
        return Path(process.cwd()).is_relative_to(self.folder)

    def end(self) -> None:
        """Kills whatever is left, each by its own process id."""
        for process in self.processes():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue


def wait_for(condition: Callable[[], T], timeout: float = 30, what: str = "the condition") -> T:
    """Polls until `condition` returns something true, and returns that."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {timeout} s")


def harnesses(folder: Path, *, fresh: bool = False, **settings: str) -> Iterator[Harness]:
    """For a fixture: a harness that leaves no process behind."""
    harness = Harness(folder, settings, fresh)
    try:
        yield harness
    finally:
        harness.end()
