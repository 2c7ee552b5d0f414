"""One execution of a pipeline: its directory, its broker, its local workers, and the coordinator among them."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from common.broker.connection import Connection
from common.broker.control import Control
from common.data_files import data_files
from common.descriptor import endpoints
from common.errors import Fenced, RunError, SpecError, Stopped
from common.given_secrets import SECRETS_VARIABLE
from common.requirements import check_requirements
from common.settings import Settings
from common.signals import stop_signals
from common.signature import Identity
from common.source import Sources
from common.steps.base import AsyncStep
from coordinator.descriptors import DescriptorWait
from coordinator.earlier_keys import EarlierKeys
from coordinator.earlier_runs import lines_about_earlier_runs
from coordinator.embedded import end_leftover
from coordinator.ending import Ending
from coordinator.failures import FailureLog
from coordinator.host_check import check_host
from coordinator.known_data import keep_digests, recognise
from coordinator.known_run import check_copy, say_what_moved
from coordinator.lease import LeaseKeeper
from coordinator.load import Prepared
from coordinator.local import LocalHost
from coordinator.logfile import PipelineLog
from coordinator.logged import LoggedReporter
from coordinator.recovery import Recovery
from coordinator.registration import Registration
from coordinator.removal import delete_run
from coordinator.request import RunRequest
from coordinator.routing import Routing
from coordinator.run_directory import RunDirectory, RunRecord, holder_of
from coordinator.service import Coordinator, Halted
from coordinator.session import RunFacts
from coordinator.standby import stand_by
from coordinator.stores import RunStores
from coordinator.view import Outcome, Reporter
from coordinator.worker_command import local_worker_arguments, worker_command

BROKER_SECONDS = 10.0
"""How long a broker that cannot be reached is waited for before there is anything to lose."""
WINDOW = 2
"""Batches that a worker of a synchronous step has in hand: one that runs, one that is read ahead."""
ASYNC_WINDOW = 32


class Execution:
    """Runs what a request asks for, in its run directory."""

    def __init__(
        self, request: RunRequest, reporter: Reporter, settings: Settings, prepared: Prepared, cache: Path
    ) -> None:
        self._request = request
        self._reporter = reporter
        self._settings = settings
        self._prepared = prepared
        self._routing = Routing(prepared)
        self._sources = Sources()
        data = data_files(prepared.steps)
        self._identity = Identity.of(
            prepared.spec, prepared.steps, prepared.routing, request.signed_options, data, self._sources
        )
        content = self._identity.signature
        self._data = recognise(cache, content, prepared, data, reporter)
        signature = self._data.signature
        self.run_id = request.run_id or f"{prepared.spec.name}-{signature[:12]}"
        if request.dry_run:
            self.run_id += f"-dry-{secrets.token_hex(3)}"
        self._coordinates = False
        self._fresh = request.fresh
        self._directory = RunDirectory.of(cache, prepared.spec.name, signature)
        self._failures = FailureLog(self._directory.failures)
        self._stores = RunStores(request, self._directory, self.run_id, settings)
        self._ending = Ending(
            request, prepared, self._directory, self.run_id, signature, settings, reporter, self._stores
        )

    def run(self) -> Outcome:
        """Returns how it ended; the run directory is locked meanwhile. Raises Fenced where another process has it."""
        while True:
            try:
                if self._request.standby and (ended := self._stand_by()) is not None:
                    return ended  # elsewhere
                return self._run_in_directory()
            except Fenced as error:
                if self._coordinates or self._request.broker is None:
                    raise
                if not self._request.standby:
                    raise Fenced(f"{error}; or take over when it is gone: add --standby") from None

    def _stand_by(self) -> Outcome | None:
        """Waits while another process coordinates the run; returns None when it is this one's turn."""
        assert self._request.broker is not None
        return stand_by(self._request.broker, self._directory, self.run_id, self._settings, self._reporter)

    def _run_in_directory(self) -> Outcome:
        with self._directory:
            before = self._last_record()
            if self._directory.is_condemned:
                self._reporter.say("the removal of an earlier run is finished first: it was cut off")
                self._fresh = True
            check_copy(self._directory, before)
            self._stores.remember(before)
            if self._fresh:
                self._check_here()  # before what is there is given up for it
                if before is not None:
                    EarlierKeys(self._directory, before, self.run_id, self._request.broker).remove(self._reporter.say)
                end_leftover(self._directory.broker)
                self._directory.clear()
                before = None
            self._compare(before)
            self._data.write(self._directory.path)
            if before is not None and before.status == "complete":
                return self._ending.reuse(before)
            self._stores.open()
            if not self._fresh:
                self._check_here()
            with ExitStack() as stack:
                if self._request.dry_run:  # when no worker is left to write
                    stack.callback(self._stores.remove)
                    if self._request.broker is not None:
                        stack.callback(delete_run, self._request.broker, self.run_id)
                host = stack.enter_context(LocalHost())
                url = self._request.broker or host.start_broker(self._directory.path)
                connection = Connection(url, one_life=True)
                stack.callback(connection.close)
                outcome = self._run_at(connection, host, before)
            if outcome.status == "complete":
                shutil.rmtree(self._directory.broker, ignore_errors=True)
                self._ending.clear_stores()
                self._ending.publish()
            return outcome

    def _compare(self, before: RunRecord | None) -> None:
        """Says what differs from what was done before."""
        if before is not None:
            say_what_moved(before, endpoints(self._prepared.steps), self._reporter)
        elif not self._request.fresh and not self._request.dry_run:
            for line in lines_about_earlier_runs(
                self._directory, self._prepared, self._identity, self._request.signed_options
            ):
                self._reporter.say(line)

    def _check_here(self) -> None:
        """Raises UsageError for what this host lacks, where the work is done here."""
        if self._request.workers == "local":
            check_requirements(self._prepared.requirements())
            check_host(self._prepared, json.loads(self._request.environment.get(SECRETS_VARIABLE, "{}")))

    def _last_record(self) -> RunRecord | None:
        with suppress(*((RunError,) if self._request.fresh else ())):  # a record that cannot be read is forgotten
            return self._directory.read_condemned() if self._directory.is_condemned else self._directory.read()
        return None

    def _run_at(self, connection: Connection, host: LocalHost, before: RunRecord | None) -> Outcome:
        patience = min(BROKER_SECONDS, self._settings.patience)
        connection.wait_until_reachable(patience)
        control = Control(connection, self.run_id, holder_of(self._directory), self._settings.coordinator_lease)
        registration = Registration(
            run_id=self.run_id,
            request=self._request,
            directory=self._directory,
            stores=self._stores,
            identity=self._identity,
            data=self._data,
            sources=self._sources,
            routing=self._routing,
            connection=connection,
            reporter=self._reporter,
        )

        def begin() -> None:
            registration.begin(control, self._prepared, before, fresh=self._fresh)

        connection.insist(begin, patience, self._reporter.say)
        self._coordinates = True
        log = PipelineLog(self._directory.log)
        reporter = LoggedReporter(self._reporter, log)
        reporter.note(f"{control.holder} coordinates {self.run_id} (epoch {control.epoch})")

        def open_run() -> None:
            connection.insist(lambda: registration.open(control, self._prepared), self._settings.patience, reporter.say)

        recover = Recovery(
            connection,
            control,
            self._settings,
            host if self._request.broker is None else None,
            list(self._prepared.plan.steps),
            open_run,
            reporter.say,
        )

        try:
            if self._prepared.undescribed:
                ended = self._ask_workers(connection, control, open_run, recover, reporter, log)
                if ended is not None:
                    return ended
            return self._coordinate(connection, control, open_run, recover, host, reporter, log)
        finally:
            with suppress(RunError, Fenced):
                control.resign()
            log.close()

    def _ask_workers(
        self,
        connection: Connection,
        control: Control,
        open_run: Callable[[], None],
        recover: Recovery,
        reporter: LoggedReporter,
        log: PipelineLog,
    ) -> Outcome | None:
        """Finds out about the steps that this process cannot import; returns an outcome when the run ends there.

        Raises:
            SpecError: they show that the pipeline is wrong.
        """
        wait = DescriptorWait(
            connection,
            control,
            self._prepared,
            self._settings,
            reporter,
            open_run=open_run,
            recover=recover,
            start_command=self._start_command,
        )
        keeper = LeaseKeeper(control, self._settings, wait.fence)
        keeper.start()
        try:
            with stop_signals(wait.stop):
                self._prepared = self._ending.prepared = wait.run(log, self._failures)
        except (Stopped, RunError, OSError, SpecError) as error:
            outcome = self._ending.incomplete(None, control, error)
            if isinstance(error, SpecError):
                raise
            return outcome
        finally:
            keeper.stop()
        return None

    def _coordinate(
        self,
        connection: Connection,
        control: Control,
        open_run: Callable[[], None],
        recover: Recovery,
        host: LocalHost,
        reporter: LoggedReporter,
        log: PipelineLog,
    ) -> Outcome:
        local = self._request.workers == "local"
        coordinator = Coordinator(
            connection,
            control,
            self._run_facts(),
            self._settings,
            reporter,
            log,
            recover=recover,
            start_command=self._start_command,
            poll_workers=host.check_workers if local else None,
            stop_workers=host.stop_workers if local else None,
        )
        keeper = LeaseKeeper(control, self._settings, coordinator.fence)
        keeper.start()
        try:
            with stop_signals(coordinator.stop):
                open_run()
                if local:
                    # The URL may hold a password, which must not stand in a command line.
                    environment = {**self._request.environment, "PENSTOCK_BROKER_URL": connection.url}
                    host.start_workers(
                        local_worker_arguments(self._prepared, self.run_id), environment, self._directory.log
                    )
                outcome = self._run_to_its_end(coordinator, control, reporter.say)
                keep_digests(self._data, connection, control.keys, self._directory.path)
                if outcome.status == "complete":
                    coordinator.dismiss()
                reporter.note(f"the run is {outcome.status}{': ' if outcome.reason else ''}{outcome.reason}")
                return outcome
        finally:
            keeper.stop()

    def _run_to_its_end(self, coordinator: Coordinator, control: Control, tell: Callable[[str], None]) -> Outcome:
        """Whatever end that is."""
        try:
            return self._ending.complete(coordinator.run(), control, coordinator.insist, tell)
        except (Stopped, Halted, RunError, OSError) as error:
            return self._ending.incomplete(coordinator.session, control, error)

    def _run_facts(self) -> RunFacts:
        return RunFacts(
            pipeline=self._prepared.spec.name,
            plan=self._prepared.plan,
            windows={
                name: ASYNC_WINDOW if isinstance(step, AsyncStep) else WINDOW
                for name, step in self._prepared.steps.items()
            },
            parts=self._directory.parts,
            failures=self._failures,
            settings=self._settings,
            choose_successors=self._routing,
            files=self._stores.files,
            file_delay=self._stores.file_delay,
            texts=self._prepared.spec.on_type_conflict == "string",
        )

    def _start_command(self, step: str) -> str:
        return worker_command(self._prepared, step, self.run_id, self._request.broker)
