"""`--all-steps`: one process per step and replica of a run, forked from one that has imported everything.

With `--stay`, such processes serve one step or all steps, run after run.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress

from common.broker.connection import Connection
from common.broker.runs import RunRecord, RunRegistry
from common.errors import EXIT_COMPLETE, RunError
from common.protocol.status import UNDER_WAY
from common.settings import Settings
from worker.life.assembly import Place
from worker.life.departure import Successor
from worker.life.processes import Child, Ended, WorkerProcesses
from worker.life.turns import LOOK_SECONDS, Turns

RESTART_SECONDS = (0.05, 5.0)
STEADY_SECONDS = 10.0
"""Seconds; a child that lived longer is restarted without delay."""
RETURN_SECONDS = 1.0
"""Seconds after which a worker is started again that left with its stage, or because the broker had forgotten the run:
either may have come back.
"""

logger = logging.getLogger("penstock.worker")


class RunEnd:
    """Whether a run has ended, looked at once a second, however often it is called."""

    def __init__(self, registry: RunRegistry, run_id: str) -> None:
        self._registry = registry
        self._run_id = run_id
        self._looked = 0.0
        self._has_come = False

    def has_come(self) -> bool:
        """Whether there is nothing left to do, or no such run; what was seen last if the broker is unreachable."""
        if time.monotonic() - self._looked >= RETURN_SECONDS:
            self._looked = time.monotonic()
            with suppress(RunError):
                status, want = self._registry.status(self._run_id)
                self._has_come = status not in UNDER_WAY or want == "stop"
        return self._has_come


class Supervisor:
    """Starts the workers of a run, stage by stage, and restarts those that crash.

    Args:
        only: a single worker of this step, instead of workers of all steps. It starts before its stage and waits for
            the stage itself, so that the coordinator knows about it.
    """

    def __init__(self, url: str, record: RunRecord, settings: Settings, place: Place, only: str | None = None) -> None:
        self._processes = WorkerProcesses(url, record, settings, place, only)
        self._stopping = self._processes.stopping
        self._grace = settings.grace
        self._absence = settings.absence
        self._is_local = not place.echo  # a coordinator creates the run again for its local workers
        connection = Connection(url)
        self._turns = Turns(connection, record)
        self._run = RunEnd(RunRegistry(connection), record.run_id)
        self._stage = 0
        self._leave_by = 0.0
        self._looked = 0.0
        self._only = only
        self.run_is_gone = False
        """Have the workers ended because the run no longer exists?"""

    def run(self) -> int:
        """Supervises until all workers have ended; returns the worst exit code among them."""
        code = EXIT_COMPLETE
        waiting = self._start_stage(self._turns.look(), [])
        while waiting or (self._leave_by and not self._stopping.is_set()):
            ended = self._processes.reap(waiting)
            for one in ended:
                if not self._restarts(one):
                    waiting.remove(one.child)
                    code = max(code, one.outcome, EXIT_COMPLETE)
            if not ended:
                waiting = self._take_turns(waiting)
                self._restart_due(waiting)
                time.sleep(0.02)
        return code

    # stages

    def _start_stage(self, stage: int, others: list[Child]) -> list[Child]:
        self._stage, self._leave_by = stage, 0.0
        children = [child for child in self._processes.children if self._has_turn(child, stage)]
        for child in children:
            if not child.pid:
                self._processes.start(child)
        return children + [child for child in others if all(child is not known for known in children)]

    def _has_turn(self, child: Child, stage: int) -> bool:
        mine = self._turns.of(child.step)
        return mine == stage or (self._only is not None and mine > stage)

    def _take_turns(self, waiting: list[Child]) -> list[Child]:
        """Starts the next stage once the last process of this one has ended and released its memory.

        Returns:
            The children to wait for.
        """
        now = time.monotonic()
        if not self._turns.several or self._stopping.is_set() or now - self._looked < LOOK_SECONDS:
            return waiting
        self._looked = now
        stage = self._turns.look()
        if stage == self._stage and not self._leave_by:
            return waiting
        there = [child for child in waiting if child.pid]
        # Others started before the stages were known, and wait.
        leaving = [child for child in there if self._turns.of(child.step) == self._stage]
        if not leaving or stage == self._stage:
            return self._start_stage(stage, there)
        self._leave_by = self._leave_by or now + self._grace
        if now > self._leave_by:
            for child in leaving:
                logger.warning("killed the worker of step '%s': its stage is over and it did not leave", child.step)
                os.kill(child.pid, signal.SIGKILL)
        return there

    def _restarts(self, ended: Ended) -> bool:
        """Whether it gets a successor. A worker that ended deliberately says so; one that crashed gets one."""
        child, successor = ended.child, ended.successor
        if successor is Successor.WITH_THE_RUN and not self._is_local:
            self.run_is_gone = True
            self.stop()
        if self._stopping.is_set() or self._leave_by or successor is Successor.NOBODY:
            return False
        now = time.monotonic()
        if successor is Successor.LATER:
            child.restart_at = now + self._absence
            return True
        if successor in (Successor.WITH_ITS_STAGE, Successor.WITH_THE_RUN):
            child.restart_at = now + RETURN_SECONDS
            return True
        child.deaths = 0 if now - child.started > STEADY_SECONDS else child.deaths + 1
        first, most = RESTART_SECONDS
        child.restart_at = now + (min(most, first * 2 ** (child.deaths - 1)) if child.deaths else 0)
        logger.warning("worker of step '%s' died (%s); starting another", child.step, _cause(ended.outcome))
        return True

    def _restart_due(self, waiting: list[Child]) -> None:
        for child in waiting:
            if not child.pid and (self._stopping.is_set() or self._is_due(child)):
                if self._stopping.is_set():
                    waiting.remove(child)
                    return
                self._processes.start(child)

    def _is_due(self, child: Child) -> bool:
        """At the end of the run a child is not waited for any longer: it sees the end as the others do."""
        left = child.restart_at - time.monotonic()
        return left <= 0 or (left > RETURN_SECONDS and self._run.has_come())

    def stop(self) -> None:
        """Ends every worker in an orderly way, then `run`; from any thread."""
        self._processes.stop()

    def kill(self) -> None:
        """Ends every worker and this process at once."""
        self._processes.kill()


def _cause(outcome: int) -> str:
    return signal.Signals(-outcome).name if outcome < 0 else f"exit code {outcome}"
