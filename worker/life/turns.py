"""The stages of a run as workers see them: a step is loaded only while its stage lasts."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from common.broker.connection import Connection
from common.broker.membership import EXIT_SECONDS
from common.broker.runs import RunRecord, RunRegistry, WorkerRecord
from common.errors import RunError
from worker.life.lease import process_state

LOOK_SECONDS = 0.1
"""Seconds between two looks at the stage; models that take turns on a device should not wait long for each other."""

logger = logging.getLogger("penstock.worker")


class Turns:
    """Reads the current stage of a run.

    Args:
        record: of the run; names the steps of each stage.
    """

    def __init__(self, connection: Connection, record: RunRecord) -> None:
        self._registry = RunRegistry(connection)
        self._run_id = record.run_id
        self._stage = 0
        self._ending: dict[int, float] = {}
        self._learn(record)

    def _learn(self, record: RunRecord) -> None:
        """While steps are undescribed, the stages are unknown; describing needs workers of all steps."""
        self._known = not record.options.undescribed
        stages: Sequence[Sequence[str]] = record.options.stages if self._known else ()
        self._stages = stages or [list(record.spec["steps"])]
        self._of_step = {step: number for number, stage in enumerate(self._stages) for step in stage}

    @property
    def several(self) -> bool:
        """Whether there is more than one stage, or may be. If not, no worker ever waits."""
        return not self._known or len(self._stages) > 1

    def of(self, step: str) -> int:
        """The stage of a step, from 0."""
        return self._of_step.get(step, 0)

    def look(self) -> int:
        """The current stage of the run, from 0; while the broker is unreachable, the last one seen."""
        if self.several:
            with suppress(RunError):
                if not self._known and (record := self._registry.read(self._run_id)) is not None:
                    self._learn(record)
                self._stage = self._registry.stage(self._run_id)
        return self._stage

    def name(self, stage: int) -> str:
        """In words: "stage 2/3"."""
        return f"stage {stage + 1}/{len(self._stages)}"

    def wait(self, step: str, pause: Callable[[float], bool]) -> bool:
        """Waits until the step may be loaded: its stage has begun, and workers of other stages on this host have ended.

        Args:
            pause: waits for some seconds; returns True if the worker must stop.

        Returns:
            Whether it may be loaded. If not, the stage is over or the worker must stop.
        """
        mine, said = self.of(step), ""
        while self.several:
            stage = self.look()
            if stage > mine:
                logger.info("step '%s' belongs to %s, which is over: nothing is left to do", step, self.name(mine))
                return False
            waits_for = self._who_is_in_the_way(mine) if stage == mine else f"{self.name(mine)} to come"
            if not waits_for:
                break
            if waits_for != said:
                said = waits_for
                logger.info("step '%s' waits for %s", step, waits_for)
            if pause(LOOK_SECONDS):
                return False
        return True

    def _who_is_in_the_way(self, mine: int) -> str:
        """Workers of other stages may still occupy the memory of this host's devices, even just after leaving."""
        now = time.monotonic()
        try:
            there = [record for record in self._registry.workers(self._run_id) if record.alive]
            left = self._registry.left_workers(self._run_id)
        except RunError:
            return "the broker"
        self._ending.update((record.pid, now) for record in there if self._blocks(record, mine))
        for record in left:
            if self._blocks(record, mine):
                self._ending.setdefault(record.pid, now)
        self._ending = {
            pid: seen for pid, seen in self._ending.items() if now - seen < EXIT_SECONDS and _is_running(pid)
        }
        pids = ", ".join(map(str, sorted(self._ending)))
        return f"workers of other stages on this host to end (process {pids})" if pids else ""

    def _blocks(self, record: WorkerRecord, mine: int) -> bool:
        """Whether the worker must end first. Those of later stages only wait, unless they had loaded before."""
        stage = self.of(record.step)
        here = record.host == socket.gethostname() and record.pid != os.getpid()
        return here and (stage < mine or (stage > mine and record.loaded))


def _is_running(pid: int) -> bool:
    """Whether it runs. An ended process that its parent has not yet waited for holds nothing."""
    return process_state(pid) not in ("", "Z", "X")
