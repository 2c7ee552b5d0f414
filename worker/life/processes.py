"""The processes of a run's workers: forked from one that has imported everything, monitored, and ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from common.broker.connection import Connection
from common.broker.runs import RunRecord
from common.errors import EXIT_FAILED, EXIT_STOPPED
from common.process.forks import keep_private
from common.process.garbage import collect_as_usual, leave_out_what_lasts
from common.process.signals import STOP_SIGNALS, on_stop_signals
from common.settings import Settings
from common.spec.spec import PipelineSpec
from worker.life.assembly import Place
from worker.life.departure import Departure, Successor
from worker.life.service import Worker

PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(slots=True)
class Child:
    """A worker process.

    Args:
        told: a pipe in which a worker that ends deliberately says who replaces it. Its exit code could come from the
            step.
        deaths: early deaths in a row.
    """

    step: str
    pid: int = 0
    told: int = -1
    started: float = 0.0
    deaths: int = 0
    restart_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Ended:
    """An ended process.

    Args:
        outcome: its exit code; minus the number of the signal that killed it.
        successor: what the worker said; None if it did not end deliberately.
    """

    child: Child
    outcome: int
    successor: Successor | None


class WorkerProcesses:
    """One process per step and replica of a run.

    Args:
        only: a single worker of this step, instead of workers of all steps.
    """

    def __init__(self, url: str, record: RunRecord, settings: Settings, place: Place, only: str | None = None) -> None:
        self._url = url
        self._record = record
        self._settings = settings
        self._place = place
        self._forking = threading.Lock()
        self._libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        self.stopping = threading.Event()
        steps = PipelineSpec.from_dict(record.spec).steps
        self.children = [
            Child(name)
            for name, step in steps.items()
            for _ in range(1 if only else _replicas(step.params.get("resources")))
            if only in (None, name)
        ]

    def start(self, child: Child) -> None:
        """Forks the process of a worker, unless all must stop."""
        sys.stdout.flush()
        sys.stderr.flush()
        child.started = time.monotonic()
        leave_out_what_lasts()
        supervisor = os.getpid()
        with self._forking:
            if self.stopping.is_set():
                return
            # Until the child installs its own handlers, its signals would arrive in the socket that it shares with us.
            signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
            child.told, tells = os.pipe()
            child.pid = os.fork()
            if child.pid == 0:
                self._die_with(supervisor)
                collect_as_usual()
                with os.fdopen(tells, "wb", buffering=0) as pipe:
                    keep_private(pipe)
                    os._exit(self._be_worker(child.step, tells))
            os.close(tells)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _die_with(self, supervisor: int) -> None:
        """In the child: a worker that outlives its supervisor could no longer be stopped with it."""
        if self._libc is not None:
            self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:  # it died before the line above took effect
                os._exit(EXIT_FAILED)

    def _be_worker(self, step: str, tells: int) -> int:
        for sibling in self.children:
            if sibling.told != -1:
                os.close(sibling.told)

        def leave_at_once(departure: Departure) -> None:
            os.write(tells, departure.successor.value)
            os._exit(departure.exit_code)

        try:
            connection = Connection(self._url)
            place = replace(self._place, beside=[child.step for child in self.children])
            worker = Worker(connection, self._record, step, self._settings, place, leave_at_once)
            on_stop_signals(worker.stop)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            code = worker.run()
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
            return EXIT_FAILED
        os.write(tells, worker.departure.successor.value)
        return code

    def reap(self, waiting: Iterable[Child]) -> list[Ended]:
        """The children that have ended by now."""
        ended = []
        for child in waiting:
            if child.pid:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
                if pid:
                    child.pid = 0
                    ended.append(Ended(child, os.waitstatus_to_exitcode(status), _told(child)))
        return ended

    def stop(self) -> None:
        """Asks every worker to end in an orderly way, and starts no more; from any thread."""
        with self._forking:
            self.stopping.set()
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends every worker and this process at once."""
        self._signal(signal.SIGKILL)
        os._exit(EXIT_STOPPED)

    def _signal(self, number: signal.Signals) -> None:
        for pid in [child.pid for child in self.children]:
            if pid:
                with suppress(ProcessLookupError):  # it just ended
                    os.kill(pid, number)


def _replicas(resources: object) -> int:
    return int(resources.get("replicas", 1)) if isinstance(resources, dict) else 1


def _told(child: Child) -> Successor | None:
    """The message of an ended worker."""
    os.set_blocking(child.told, False)  # a process left behind by a step may hold the other end
    try:
        return Successor(os.read(child.told, 1))
    except (BlockingIOError, ValueError):  # nothing
        return None
    finally:
        os.close(child.told)
        child.told = -1
