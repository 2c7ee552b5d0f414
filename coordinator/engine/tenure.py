"""What a coordinator has while it owns a run: the lease, and everything that it works with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TypeVar

from common.broker.control import RETRY_SECONDS, Control
from common.broker.patience import FIRST_SECONDS, Patience
from common.broker.reports import Reports
from common.broker.runs import RunRegistry
from common.errors import Disconnected, Fenced, RunError, Stopped
from common.process.signals import stop_signals
from common.settings import Settings
from coordinator.engine.crew import collect_reports
from coordinator.engine.lease import LeaseKeeper
from coordinator.identity.registration import Registration
from coordinator.local.host import LocalHost
from coordinator.plan.load import Prepared
from coordinator.runs.failures import FailureLog
from coordinator.runs.logfile import PipelineLog
from coordinator.runs.run_directory import holder_of
from coordinator.view.logged import LoggedReporter

T = TypeVar("T")


class Tenure:
    """The period in which this process coordinates a run; see `begin`.

    Attributes:
        reporter: its messages also go to the log of the run.
        failures: the dead letters of the run.
        stop_asked: the run was asked to stop.
    """

    def __init__(
        self, registration: Registration, control: Control, log: PipelineLog, settings: Settings, host: LocalHost | None
    ) -> None:
        self.connection = registration.connection
        self.control = control
        self.registry = RunRegistry(self.connection)
        self.reporter = LoggedReporter(registration.reporter, log)
        self.failures = FailureLog(registration.directory.failures)
        self.settings = settings
        self.stop_asked = threading.Event()
        self._registration = registration
        self._host = host
        self._reports = Reports(self.connection, self.run_id)
        self._log = log
        self._fenced: Fenced | None = None

    @classmethod
    @contextmanager
    def begin(cls, registration: Registration, settings: Settings, host: LocalHost | None) -> Iterator[Tenure]:
        """Takes and keeps the lease of the run, and handles stop signals, until the block ends.

        Args:
            host: has started the broker, and restarts it; None for a broker that this command did not start.

        Raises:
            Fenced: another coordinator is alive.
            UsageError, BrokerError: see `Registration.begin`.
        """
        connection, directory = registration.connection, registration.directory
        patience = Patience(connection, min(FIRST_SECONDS, settings.patience), registration.reporter.say)
        patience.reach()
        control = Control(connection, registration.run_id, holder_of(directory), settings.coordinator_lease)
        patience.insist(lambda: registration.begin(control))
        try:
            with closing(PipelineLog.open(directory.log)) as log:
                tenure = cls(registration, control, log, settings, host)
                tenure.reporter.note(f"{control.holder} coordinates {tenure.run_id} (epoch {control.epoch})")
                with LeaseKeeper(control, settings, tenure.fence), stop_signals(tenure.stop):
                    yield tenure
        finally:
            with suppress(RunError, Fenced):
                control.resign()

    @property
    def prepared(self) -> Prepared:
        """The pipeline; replaced once workers have described the steps that this process cannot import."""
        return self._registration.prepared

    @property
    def run_id(self) -> str:
        """The run."""
        return self._registration.run_id

    @property
    def patience(self) -> Patience:
        """With the broker, until the run is asked to stop."""
        return Patience(self.connection, self.settings.patience, self.reporter.say, self.stop_asked)

    def stop(self) -> None:
        """Asks the run to stop; callable from any thread."""
        self.stop_asked.set()

    def fence(self, error: Fenced) -> None:
        """Notes that another coordinator has the run: `check` raises `error` from now on. Callable from any thread."""
        self._fenced = error

    def check(self) -> None:
        """Raises Fenced if another coordinator has the run."""
        if self._fenced is not None:
            raise self._fenced

    def open_run(self) -> None:
        """Makes the run known to workers; may be repeated.

        Raises:
            BrokerError: the broker stays unreachable.
        """
        self.patience.insist(lambda: self._registration.open(self.control))

    def collect_reports(self) -> None:
        """Moves the reports of workers from the broker to the run directory."""
        collect_reports(self._reports, self._log, self.failures)

    def insist(self, act: Callable[[], T]) -> T:
        """Does something repeatable at the broker, recovering the broker first if necessary.

        Raises:
            Stopped: the run was asked to stop, and the broker is unreachable.
            Fenced: another coordinator has the run.
            RunError: the broker stays unreachable.
        """
        while True:
            try:
                return act()
            except Disconnected as error:
                self.reporter.say(str(error))
            try:
                self._recover()
            except Disconnected as error:
                if self.stop_asked.is_set():  # not a graceful stop: batches in hand stay with their workers
                    raise Stopped from error
                raise

    def _recover(self) -> None:
        """Recovers a broker that may have lost the last writes, or all of them, and takes over again.

        More than patience: the broker may be the command's own, and have to be started; and it is not back before this
        process has its lease again.

        Raises:
            Disconnected: it stays unreachable for as long as patience lasts, or until a stop is requested.
            Fenced: another coordinator has the run.
            BrokerError: the broker cannot be used.
        """
        while True:
            if self._host is not None:
                self._host.restart_broker()
            self.patience.reach()
            try:
                self.connection.check()
                self.control.regain(self.stop_asked)
                self._make_known()
                return
            except Disconnected:
                if self.stop_asked.wait(RETRY_SECONDS):
                    raise

    def _make_known(self) -> None:
        if self.registry.read(self.run_id) is None:
            self.reporter.say("the broker has lost the data of this run, so the run starts from the beginning")
            self.open_run()
        else:
            self.control.ensure_groups(list(self._registration.prepared.plan.steps))
