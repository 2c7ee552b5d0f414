"""`--all-steps`: one process per step and replica of a run, forked from one that has imported everything already.

`--stay` has its one step, or all of them, served by such processes as well, run after run.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, replace

from common.broker.connection import Connection
from common.broker.runs import RunRecord
from common.errors import EXIT_COMPLETE, EXIT_FAILED, EXIT_STOPPED
from common.forks import keep_private
from common.settings import Settings
from common.signals import on_stop_signals
from common.spec import PipelineSpec
from worker.assembly import Place
from worker.service import Worker
from worker.turns import LOOK_SECONDS, Turns

RESTART_SECONDS = (0.05, 5.0)
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
STEADY_SECONDS = 10.0
"""A child that lived longer is restarted without delay."""
ENDS, WAITS_FOR_ITS_STAGE, RUN_IS_GONE = b".", b"s", b"g"
RETURN_SECONDS = 1.0
"""After this time a worker is wanted again that left with its stage, or since the broker had forgotten the run: either
may have come back.
"""
PR_SET_PDEATHSIG = 1  # linux/prctl.h

logger = logging.getLogger("penstock.worker")


@dataclass(slots=True)
class Child:
    """A worker process.

    Args:
        told: a pipe in which the worker says that it ends on purpose, and why: `ENDS`, `WAITS_FOR_ITS_STAGE` or
            `RUN_IS_GONE`. Its exit code could be any step's doing.
        deaths: those in a row that came early.
    """

    step: str
    pid: int = 0
    told: int = -1
    started: float = 0.0
    deaths: int = 0
    restart_at: float = 0.0


class Supervisor:
    """Starts the workers of a run, stage by stage, and starts those again that crash.

    Args:
        only: one worker for this step, instead of those of all steps. It is started before its stage has come, and
            waits for that itself, so that the coordinator knows of it.
    """

    def __init__(self, url: str, record: RunRecord, settings: Settings, place: Place, only: str | None = None) -> None:
        self._url = url
        self._record = record
        self._settings = settings
        self._place = place
        self._stopping = threading.Event()
        self._forking = threading.Lock()
        self._libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._turns = Turns(Connection(url), record)
        self._stage = 0
        self._leave_by = 0.0
        self._looked = 0.0
        self._only = only
        self.run_is_gone = False
        """Have the workers ended because there is no such run any more?"""
        steps = PipelineSpec.from_dict(record.spec).steps
        self._children = [
            Child(name)
            for name, step in steps.items()
            for _ in range(1 if only else _replicas(step.params.get("resources")))
            if only in (None, name)
        ]

    def run(self) -> int:
        """Supervises until all workers have ended; returns the worst exit code among them."""
        code = EXIT_COMPLETE
        waiting = self._start_stage(self._turns.look(), [])
        while waiting or (self._leave_by and not self._stopping.is_set()):
            ended = self._reap(waiting)
            for child, status in ended:
                outcome = os.waitstatus_to_exitcode(status)
                if self._restarts(child, outcome):
                    continue
                waiting.remove(child)
                code = max(code, outcome if outcome > 0 else EXIT_COMPLETE)
            if not ended:
                waiting = self._take_turns(waiting)
                self._restart_due(waiting)
                time.sleep(0.02)
        return code

    # stages

    def _start_stage(self, stage: int, others: list[Child]) -> list[Child]:
        self._stage, self._leave_by = stage, 0.0
        children = [child for child in self._children if self._has_turn(child, stage)]
        for child in children:
            if not child.pid:
                self._start(child)
        return children + [child for child in others if all(child is not known for known in children)]

    def _has_turn(self, child: Child, stage: int) -> bool:
        mine = self._turns.of(child.step)
        return mine == stage or (self._only is not None and mine > stage)

    def _take_turns(self, waiting: list[Child]) -> list[Child]:
        """Starts the next stage once the last process of this one has ended, and given back the memory that it had.

        Returns:
            The children that are to be waited for.
        """
        now = time.monotonic()
        if not self._turns.several or self._stopping.is_set() or now - self._looked < LOOK_SECONDS:
            return waiting
        self._looked = now
        stage = self._turns.look()
        if stage == self._stage and not self._leave_by:
            return waiting
        there = [child for child in waiting if child.pid]
        # Others were started before the stages were known, and wait.
        leaving = [child for child in there if self._turns.of(child.step) == self._stage]
        if not leaving or stage == self._stage:
            return self._start_stage(stage, there)
        self._leave_by = self._leave_by or now + self._settings.grace
        if now > self._leave_by:
            for child in leaving:
                logger.warning("worker of step '%s' is killed: its stage is over, and it does not leave", child.step)
                os.kill(child.pid, signal.SIGKILL)
        return there

    def _start(self, child: Child) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        child.started = time.monotonic()
        supervisor = os.getpid()
        with self._forking:
            if self._stopping.is_set():
                return
            # Until the child listens for itself, its signals would arrive in the socket that it shares with us.
            signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
            child.told, tells = os.pipe()
            child.pid = os.fork()
            if child.pid == 0:
                self._die_with(supervisor)
                with os.fdopen(tells, "wb", buffering=0) as pipe:
                    keep_private(pipe)
                    os._exit(self._be_worker(child.step, tells))
            os.close(tells)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _die_with(self, supervisor: int) -> None:
        """In the child: a worker that outlived its supervisor would be out of reach of whoever ends that one."""
        if self._libc is not None:
            self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:  # it died before the line above could count
                os._exit(EXIT_FAILED)

    def _be_worker(self, step: str, tells: int) -> int:
        for sibling in self._children:
            if sibling.told != -1:
                os.close(sibling.told)
        try:

            def leave_at_once(code: int) -> None:
                os.write(tells, _why(worker))
                os._exit(code)

            connection = Connection(self._url)
            place = replace(self._place, beside=[child.step for child in self._children])
            worker = Worker(connection, self._record, step, self._settings, place, leave_at_once)
            on_stop_signals(worker.stop)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            code = worker.run()
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
            return EXIT_FAILED
        os.write(tells, _why(worker))
        return code

    def _reap(self, waiting: list[Child]) -> list[tuple[Child, int]]:
        ended = []
        for child in waiting:
            if child.pid:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
                if pid:
                    child.pid = 0
                    ended.append((child, status))
        return ended

    def _restarts(self, child: Child, outcome: int) -> bool:
        """A worker that ended on purpose says so; one that failed has a successor, like one that crashed."""
        told = _told(child)
        if told == RUN_IS_GONE and self._place.echo:  # a coordinator makes the run anew for its local workers
            self.run_is_gone = True
            self.stop()
        if self._stopping.is_set() or self._leave_by or (told == ENDS and outcome != EXIT_FAILED):
            return False
        if told in (WAITS_FOR_ITS_STAGE, RUN_IS_GONE):
            child.restart_at = time.monotonic() + RETURN_SECONDS
            return True
        lived = time.monotonic() - child.started
        child.deaths = 0 if lived > STEADY_SECONDS else child.deaths + 1
        first, most = RESTART_SECONDS
        child.restart_at = time.monotonic() + (min(most, first * 2 ** (child.deaths - 1)) if child.deaths else 0)
        logger.warning("worker of step '%s' died (%s); starting another", child.step, _cause(outcome))
        return True

    def _restart_due(self, waiting: list[Child]) -> None:
        for child in waiting:
            if not child.pid and (self._stopping.is_set() or time.monotonic() >= child.restart_at):
                if self._stopping.is_set():
                    waiting.remove(child)
                    return
                self._start(child)

    def stop(self) -> None:
        """Ends every worker in good order, and then `run`; from any thread."""
        with self._forking:
            self._stopping.set()
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends every worker and this process at once."""
        self._signal(signal.SIGKILL)
        os._exit(EXIT_STOPPED)

    def _signal(self, number: signal.Signals) -> None:
        for pid in [child.pid for child in self._children]:
            if pid:
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(pid, number)


def _replicas(resources: object) -> int:
    return int(resources.get("replicas", 1)) if isinstance(resources, dict) else 1


def _why(worker: Worker) -> bytes:
    if worker.run_is_gone:
        return RUN_IS_GONE
    return WAITS_FOR_ITS_STAGE if worker.is_out_of_turn else ENDS


def _told(child: Child) -> bytes:
    """What the worker, which has ended, has said; nothing where it did not end on purpose."""
    os.set_blocking(child.told, False)  # a process that a step has left behind may hold the other end
    try:
        return os.read(child.told, 1)
    except BlockingIOError:
        return b""
    finally:
        os.close(child.told)
        child.told = -1


def _cause(outcome: int) -> str:
    return signal.Signals(-outcome).name if outcome < 0 else f"exit code {outcome}"
