"""Stop signals at awkward moments: before a command has begun, while it unwinds, and exactly as a step has loaded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.runs.harness import REPOSITORY, Command, Harness, harnesses, wait_for
from tests.support.runs.hosts import SLOW, check_end, coordinator, worker
from tests.support.runs.pipelines import assert_nothing_runs
from tests.support.runs.sight import Sight

SIGNALS = [signal.SIGINT, signal.SIGTERM]
INTERRUPTS_IMPORT = """
import sys

class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            sys.meta_path.remove(self)
            exec("import os; os.kill(os.getpid(), {number})")

sys.meta_path.insert(0, Interrupter())
"""
"""By `exec` of a text, as dataclasses do it: Python takes an interrupt in there for one that nobody has caught."""
SIGNALS_ITSELF = """
import os
import time
from pathlib import Path
from mysteps import Double

class Loads(Double):
    number: int

    def load(self):
        Path("loaded").touch()
        os.kill(os.getpid(), self.number)
        time.sleep(0.02)

    def unload(self):
        Path("unloaded").touch()
"""
LOADS = """
name: loads
steps:
  load: {{type: "mysteps:Count", rows: 40, batch_size: 10}}
  double: {{type: "loads:Loads", after: load, input_batch_size: 10, number: {number}}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path, fresh=True)


def interrupted_at_import(harness: Harness, module: str, number: signal.Signals, *command: str) -> tuple[int, str]:
    """Exit code and output of a command that gets the signal while it imports the module."""
    hooks = harness.folder / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(INTERRUPTS_IMPORT.format(module=module, number=int(number)))
    done = subprocess.run(
        [sys.executable, "-P", "-m", *command],
        env={**os.environ, "PYTHONPATH": f"{hooks}{os.pathsep}{REPOSITORY}", "PENSTOCK_CACHE_DIR": str(hooks)},
        cwd=harness.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    "module",
    ["click", "coordinator.cli", "coordinator.commands.run", "pydantic", "coordinator.launch.run", "redis", "mysteps"],
)
def test_a_run_that_is_interrupted_before_it_has_begun_says_so_in_a_line(
    harness: Harness, module: str, number: signal.Signals
) -> None:
    spec = harness.write_spec(SLOW)
    ended = interrupted_at_import(harness, module, number, "coordinator", "run", str(spec))
    assert ended == (130, "pipeline-coordinator: interrupted; rerun the command to resume")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("module", ["click", "worker.cli", "redis", "worker.life.service"])
def test_a_worker_that_is_interrupted_before_it_has_begun_says_so_in_a_line(
    harness: Harness, module: str, number: signal.Signals
) -> None:
    command = ("worker", "--step", "load", "--broker", "redis://127.0.0.1:1")
    assert interrupted_at_import(harness, module, number, *command) == (
        130,
        "pipeline-worker: interrupted before it took any work",
    )


def test_other_commands_say_no_more_than_that(harness: Harness) -> None:
    ended = interrupted_at_import(harness, "coordinator.commands.schema", signal.SIGINT, "coordinator", "schema")
    assert ended == (130, "pipeline-coordinator: interrupted")


def guardian_of(harness: Harness, run: Command) -> psutil.Process | None:
    """The guardian; None before it is there."""
    with suppress(ValueError, psutil.NoSuchProcess):
        return Sight(harness).guardian(run)
    return None


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_a_start_that_cannot_be_unwound(harness: Harness, number: signal.Signals) -> None:
    run = harness.start_run(harness.write_spec(SLOW))
    guardian = wait_for(lambda: guardian_of(harness, run), what="the guardian")
    guardian.suspend()  # whoever waits for it waits for half a minute
    wait_for(lambda: guardian.status() == psutil.STATUS_STOPPED, what="the guardian to be suspended")
    run.kill(number)
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(1)
    run.kill(number)
    assert run.wait(5) == 130, run.text
    guardian.resume()
    assert_nothing_runs(harness)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_step_that_has_just_been_loaded_when_its_worker_is_told_to_leave_is_unloaded(
    harness: Harness, redis_url: str, number: signal.Signals
) -> None:
    (harness.folder / "loads.py").write_text(SIGNALS_ITSELF)
    spec = harness.write_spec(LOADS.format(number=int(number)))
    run = coordinator(harness, spec, redis_url)
    leaving = worker(harness, redis_url, "double", "--allow", "loads")
    assert leaving.wait(60) == 0, leaving.text
    assert (harness.folder / "loaded").exists()
    assert (harness.folder / "unloaded").exists()
    (harness.folder / "loads.py").write_text(SIGNALS_ITSELF.replace("os.kill(os.getpid(), self.number)", "pass"))
    run.kill(signal.SIGINT)
    assert run.wait(30) == 130
    workers = [worker(harness, redis_url, "load"), worker(harness, redis_url, "double", "--allow", "loads")]
    check_end(harness, coordinator(harness, spec, redis_url, "--fresh"), workers)
