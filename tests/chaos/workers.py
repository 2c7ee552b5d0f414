"""Workers of a scenario that are started by hand, as a service manager does it."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from common.errors import EXIT_CANNOT_SERVE
from tests.chaos.broker import Broker
from tests.chaos.scenario import Scenario
from tests.support.runs.harness import Command, Harness

RETURN = 8.0
"""Seconds after which a worker that has left by itself is started again."""


@dataclass(slots=True)
class Workers:
    """Those of the steps, and strangers, which must refuse to serve; local ones are the command's."""

    scenario: Scenario
    harness: Harness
    broker: Broker
    _serving: list[tuple[str, Command]] = field(default_factory=list)
    _strangers: list[Command] = field(default_factory=list)
    _hurt: set[int] = field(default_factory=set)
    """Processes that a fault ended; their exit codes say nothing."""
    _left: dict[int, float] = field(default_factory=dict)
    """When a process was seen to have left by itself."""
    _run_id: str = ""

    def start(self) -> None:
        """Starts those that are started by hand; one that a fault ended is started again, as a service manager does it.

        One that has left because its stage is over is needed again if the command is stopped, or the broker forgets.
        """
        if self.scenario.topology != "external":
            return
        now = time.monotonic()
        for step, count in self.scenario.replicas.items():
            alive = 0
            for entry in [one for one in self._serving if one[0] == step]:
                code = entry[1].process.poll()
                assert not code or self._explains(entry[1]), f"a worker ended with {code}: {entry[1].text}"
                if code is None or (code == 0 and now < self._left.setdefault(entry[1].process.pid, now) + RETURN):
                    alive += 1
                else:
                    self._serving.remove(entry)
            self._serving += [(step, self._start(step, self.harness.folder)) for _ in range(count - alive)]

    def _explains(self, worker: Command) -> bool:
        """Whether a fault ended the worker: directly, or by a broker that came back without the run."""
        return worker.process.pid in self._hurt or "no longer has this run" in worker.text

    def _start(self, step: str, folder: Path) -> Command:
        """One worker; `folder` is where its steps are."""
        where = ("--allow", "chaos_steps", "--base-dir", str(folder))
        return self.harness.start(
            "pipeline-worker", "--step", step, "--broker", self.broker.url, *where, *self._which()
        )

    def _which(self) -> tuple[str, ...]:
        """The run that a worker is for, once it is known: one that comes after its end must not wait for another."""
        if not self._run_id and self.broker.written():
            self._run_id = self.broker.sight.run_id
        return ("--run", self._run_id) if self._run_id else ()

    def victims(self, step: str) -> tuple[str, list[psutil.Process]]:
        """Workers of a step, or of another one if it has none, and whose they are; "" if there are none at all."""
        steps = [step, *(one for one in self.scenario.pipeline.steps if one != step)]
        return next(((one, found) for one in steps if (found := self.broker.sight.workers(one))), ("", []))

    def hurt(self, process: psutil.Process, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to one process."""
        self._hurt.add(process.pid)
        process.send_signal(number)

    # strangers

    def start_other_source(self, step: str, folder: Path) -> None:
        """A worker whose steps are those of a folder."""
        self._strangers.append(self._start(step, folder))

    def start_other_protocol(self, step: str) -> None:
        """A worker of a version of Penstock that speaks another protocol."""
        text = "import common.protocol.wire\ncommon.protocol.wire.PROTOCOL += 1\nfrom worker.cli import main\nmain()\n"
        where = ("--broker", self.broker.url, "--allow", "chaos_steps")
        self._strangers.append(self.harness.start_script(text, "--step", step, *where, *self._which()))

    # the end

    def wait_for_end(self) -> None:
        """The run is complete: workers leave unasked, and those that could not serve have left."""
        for _, worker in self._serving:
            code = worker.wait(40)
            assert code == 0 or self._explains(worker), f"a worker ended with {code}: {worker.text}"
        for stranger in self._strangers:
            code = stranger.wait(40)
            hurt = stranger.process.pid in self._hurt
            assert hurt or code in (EXIT_CANNOT_SERVE, 0), (
                f"a worker that cannot serve ended with {code}: {stranger.text}"
            )
