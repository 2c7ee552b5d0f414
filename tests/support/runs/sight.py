"""Looks into a run of a harness while it is under way: its journal, its workers, its processes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from common.broker.connection import Connection
from common.broker.held import holders
from common.broker.runs import RunRegistry
from common.errors import BrokerError, PenstockError
from common.protocol.batch import Entry, Failure, PartWritten, Result
from common.protocol.keys import GROUP, Keys
from common.protocol.wire import decode_entry
from coordinator.local.embedded import leftover
from coordinator.runs.run_directory import RunDirectory
from tests.support.runs.harness import Command, Harness, wait_for
from worker.life.lease import PROCESS_NAME


@dataclass(frozen=True, slots=True)
class Sight:
    """What there is to see of the one run of a harness.

    Args:
        broker: URL; None for the embedded broker.
    """

    harness: Harness
    broker: str | None = None

    # the broker

    @property
    def run_id(self) -> str:
        """Of the run, once it is recorded."""
        record = RunDirectory(self.harness.run_directory).read()
        assert record is not None
        return record.run

    @property
    def socket(self) -> Path:
        """Of the embedded broker."""
        written = (self.harness.run_directory / "broker" / "redis.conf").read_text()
        found = re.search(r'^unixsocket "(.*)"$', written, re.MULTILINE)
        if found is None:  # it is being written
            raise FileNotFoundError
        return Path(found.group(1))

    def connect(self) -> Connection:
        """To be closed by the caller."""
        return Connection(self.broker or f"unix://{self.socket}", timeout=10)

    def journal(self) -> list[Entry]:
        """All entries; none while the broker cannot be asked."""
        try:
            connection = self.connect()
            entries = connection.command("XRANGE", Keys(self.run_id).journal, "-", "+")
            connection.close()
        except (PenstockError, ValueError, OSError):
            return []
        return [decode_entry(fields[b"m"]) for _, fields in entries]

    def results(self, step: str) -> int:
        """Results of a step that the journal has."""
        return sum(isinstance(entry, Result | Failure) and entry.step == step for entry in self.journal())

    def parts(self) -> int:
        """Parts that the journal has."""
        return sum(isinstance(entry, PartWritten) for entry in self.journal())

    def in_hand(self, step: str) -> int:
        """Entries that workers of a step have taken and not committed."""
        try:
            connection = self.connect()
            reply = connection.command("XPENDING", Keys(self.run_id).inputs(step), GROUP)
            connection.close()
        except (PenstockError, ValueError, OSError):
            return 0
        return sum(holders(reply).values())

    def holder(self, step: str) -> int:
        """Process of a worker that has a batch of a step in hand; 0 if there is none."""
        connection = self.connect()
        held = connection.pending(Keys(self.run_id).inputs(step), GROUP, 100)
        pids = {record.worker_id: record.pid for record in RunRegistry(connection).workers(self.run_id)}
        connection.close()
        return next((pids[one.consumer] for one in held if one.consumer in pids), 0)

    def wait_for_results(self, step: str, count: int, timeout: float = 60) -> None:
        """Returns in mid-run."""
        wait_for(lambda: self.results(step) >= count, timeout, f"result {count} of step '{step}'")

    def wait_for_status(self, status: str) -> None:
        """Of the run, as the broker has it."""
        connection = self.connect()
        wait_for(lambda: RunRegistry(connection).status(self.run_id)[0] == status, what=f"status {status}")
        connection.close()

    # processes

    def workers(self, step: str) -> list[psutil.Process]:
        """Live workers of a step on this host."""
        try:
            connection = self.connect()
            records = RunRegistry(connection).workers(self.run_id)
            connection.close()
        except (BrokerError, ValueError, OSError):
            return []
        pids = [record.pid for record in records if record.step == step and record.alive]
        return [process for pid in pids if (process := _running(pid)) is not None]

    def worker(self, step: str) -> psutil.Process:
        """The one live worker of a step."""
        (worker,) = wait_for(lambda: self.workers(step), what=f"a worker of step '{step}'")
        return worker

    def keeper(self, worker: psutil.Process) -> psutil.Process | None:
        """The process that keeps the worker's lease."""
        return next((child for child in worker.children() if is_keeper(child)), None)

    def children(self, command: Command) -> list[psutil.Process]:
        """What a command has started itself."""
        return psutil.Process(command.process.pid).children()

    def guardian(self, command: Command) -> psutil.Process:
        """Of a coordinator."""
        (guardian,) = _with("guardian.py", self.children(command))
        return guardian

    def supervisor(self, command: Command) -> psutil.Process:
        """Of a coordinator's local workers."""
        (supervisor,) = _with("--all-steps", self.guardian(command).children())
        return supervisor

    def redis(self) -> int | None:
        """Pid of the embedded broker, where it runs."""
        return leftover(self.harness.run_directory / "broker")

    def log(self) -> str:
        """The run's log."""
        return (self.harness.run_directory / "pipeline.log").read_text()


def is_keeper(process: psutil.Process) -> bool:
    """Whether the process keeps a worker's lease."""
    try:
        return process.name() == PROCESS_NAME and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _running(pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return process if process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _with(word: str, processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those whose command line holds a word."""
    found = []
    for process in processes:
        try:
            if any(word in argument for argument in process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found
