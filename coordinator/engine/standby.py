"""Stands by while another process coordinates the run, and takes over when that process is gone."""

from __future__ import annotations

import threading
import time
from contextlib import closing, suppress

from common.broker.connection import Connection
from common.broker.journal import Journal
from common.broker.patience import Patience
from common.broker.runs import RunRegistry
from common.errors import EXIT_COMPLETE, EXIT_FAILED, EXIT_STOPPED, Disconnected, Fenced, RunError
from common.process.signals import stop_signals
from common.protocol.batch import PartWritten
from common.protocol.holder import Holder
from common.protocol.status import EndStatus
from common.settings import Settings
from coordinator.dataset.part_check import check_parts_are_there
from coordinator.dataset.parts import Part
from coordinator.engine.replay import replay
from coordinator.runs.run_directory import RunDirectory
from coordinator.view.view import Outcome, Reporter

LOOK_SECONDS = 0.25
STATE_SECONDS = 60.0
"""Seconds between two messages about a run that another process coordinates."""
FILE_SECONDS = 3.0
"""Seconds within which a shared folder shows what another host has written."""
REPLY_SECONDS = 10.0


def stand_by(
    broker: str, directory: RunDirectory, run_id: str, settings: Settings, reporter: Reporter
) -> Outcome | None:
    """Waits; returns how the run ended elsewhere, or None when this process should look at the run directory.

    The latter includes a complete run whose dataset can be read here.

    Raises:
        RunError: this process cannot take over, since its run directory lacks parts, or the broker stayed unreachable.
    """
    with closing(Connection(broker)) as connection:
        Patience(connection, min(REPLY_SECONDS, settings.patience)).reach()
        connection.check()
        standby = Standby(connection, directory, run_id, settings, reporter)
        with stop_signals(standby.stop):
            return standby.wait()


class Silence:
    """How long a lock has had the same, silent holder."""

    def __init__(self) -> None:
        self._holder: Holder | None = None
        self._since = 0.0

    def of(self, holder: Holder | None, now: float) -> float:
        """Seconds, by any clock; 0 for a holder that was not there at the last check."""
        if holder != self._holder:
            self._holder, self._since = holder, now
        return now - self._since

    def end(self) -> None:
        """Notes a sign of life."""
        self._holder = None


class Standby:
    """Watches the lease of a run and the lock of its directory."""

    def __init__(
        self, connection: Connection, directory: RunDirectory, run_id: str, settings: Settings, reporter: Reporter
    ) -> None:
        self._connection = connection
        self._registry = RunRegistry(connection)
        self._directory = directory
        self._run_id = run_id
        self._settings = settings
        self._reporter = reporter
        self._stop_asked = threading.Event()
        self._known: Holder | None = None
        self._said = ""
        self._said_at = 0.0
        self._silence = Silence()
        self._not_before = 0.0

    def stop(self) -> None:
        """Stops standing by; callable from any thread."""
        self._stop_asked.set()

    def wait(self) -> Outcome | None:
        """See `stand_by`."""
        patience = Patience(self._connection, self._settings.patience, self._reporter.say, self._stop_asked)
        while not self._stop_asked.is_set():
            try:
                record = self._directory.read()
                if record is not None and record.status == "complete":
                    if self._take_lock():  # the other process has left
                        return None
                else:
                    holder = self._registry.lease_holder(self._run_id)
                    if holder is not None and self._is_outlived(holder):
                        holder, self._known = None, holder
                    if holder is None and self._known is not None:
                        if self._is_complete_here():
                            return None
                        if (ended := self._ended(self._known)) is not None:
                            return ended
                    if self._may_take_over(holder):
                        self._check_parts()
                        return None
            except Disconnected as error:
                patience.outlast(error)
                # All leases may have expired; the previous coordinator goes first.
                self._not_before = time.monotonic() + self._settings.coordinator_lease
            self._stop_asked.wait(LOOK_SECONDS)
        return self._outcome("stopped", EXIT_STOPPED, "it was only standing by; the coordinator of the run continues")

    # how the run ended without this process

    def _ended(self, known: Holder) -> Outcome | None:
        """A run that has ended is not taken over."""
        status, want = self._registry.status(self._run_id)
        directory = f"{known.directory} on {known.host}"
        match status:
            case "complete":
                return self._completed_elsewhere(directory)
            case "stopped":
                return self._outcome("stopped", EXIT_STOPPED, f"it was stopped; {known} coordinated it")
            case "halted" | "failed":
                ended: EndStatus = "halted" if status == "halted" else "failed"
                reason = f"it {ended} where {known} coordinated it; see pipeline.log in {directory}"
                return self._outcome(ended, EXIT_FAILED, reason)
        if want == "stop":
            return self._outcome("stopped", EXIT_STOPPED, f"it was asked to stop, and {known} is gone")
        return None

    def _is_complete_here(self) -> bool:
        """Whether the broker says that the run is complete, and the run directory agrees, perhaps a little later."""
        deadline = time.monotonic() + FILE_SECONDS
        while self._registry.status(self._run_id)[0] == "complete" and time.monotonic() < deadline:
            record = self._directory.read()
            if record is not None and record.status == "complete":
                return True
            time.sleep(LOOK_SECONDS)
        return False

    def _completed_elsewhere(self, directory: str) -> Outcome:
        self._reporter.say(f"run '{self._run_id}' was completed elsewhere: its dataset is in {directory}")
        return self._outcome("complete", EXIT_COMPLETE, f"its dataset is in {directory}")

    # who goes next

    def _may_take_over(self, holder: Holder | None) -> bool:
        """Whether no one has the lease and this process has the lock."""
        if holder is not None:
            self._silence.end()
            self._tell(holder)
            return False
        if time.monotonic() < self._not_before:
            return False
        if not self._take_lock() and not self._take_lock_of_the_silent():
            return False
        if self._known is not None:
            self._reporter.say(f"{self._known} is gone; taking over")
        return True

    def _is_outlived(self, holder: Holder) -> bool:
        """Whether it had this run directory, whose lock is free: then it is dead, and its lease need not expire."""
        return self._directory.is_of(holder) and self._take_lock()

    def _take_lock(self) -> bool:
        try:
            self._directory.acquire(patience=0.0)
        except Fenced:
            return False
        return True

    def _take_lock_of_the_silent(self) -> bool:
        """Takes the lock from a frozen process, which keeps it; its writes are fenced with its lease."""
        silent = self._directory.holder()
        seconds = self._silence.of(silent, time.monotonic())
        known = silent is not None and self._known is not None and self._known.has_name_of(silent)
        if silent is None or (not known and seconds < self._settings.coordinator_lease):
            return False
        return self._directory.take_away(silent)

    def _check_parts(self) -> None:
        """Called before anything is written: without the parts, this process could only end the run."""
        journal = Journal(self._connection, self._run_id)
        parts = [
            Part.journaled(one.entry)
            for entries in replay(journal, journal.position())
            for one in entries
            if isinstance(one.entry, PartWritten)
        ]
        check_parts_are_there(self._directory.parts, parts)

    # messages

    def _tell(self, holder: Holder) -> None:
        now = time.monotonic()
        if self._known is None or self._known.token != holder.token:
            self._known, self._said_at = holder, now
            self._reporter.say(
                f"standing by: run '{self._run_id}' is coordinated by {holder}; this process takes over when "
                f"that one has been silent for {self._settings.coordinator_lease:g} s"
            )
            self._warn_if_elsewhere(holder)
        elif now - self._said_at >= STATE_SECONDS and (run := self._registry.read(self._run_id)) is not None:
            self._said_at = now
            line = f"standing by: the run is {run.status}, with {run.position:,} entries in its journal"
            if line != self._said:
                self._reporter.say(line)
            self._said = line

    def _warn_if_elsewhere(self, holder: Holder) -> None:
        with suppress(RunError):
            if self._directory.read() is None and self._registry.status(self._run_id)[0] == "running":
                self._reporter.say(
                    f"this process cannot see the run directory {holder.directory} of {holder.host} (it "
                    f"looks at {self._directory.path}): it can take over only while no part is written"
                )

    def _outcome(self, status: EndStatus, exit_code: int, reason: str) -> Outcome:
        return Outcome(self._run_id, status, exit_code, reason, run_directory=self._directory.path)
