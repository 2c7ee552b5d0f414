"""One execution of a pipeline: its directory, its broker, its local workers, and the coordinator among them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from common.broker.connection import Connection
from common.building.descriptor import endpoints
from common.building.given_secrets import SECRETS_VARIABLE
from common.errors import Fenced, RunError, SpecError, Stopped
from common.settings import Settings
from common.spec.requirements import check_requirements
from common.steps.base import AsyncStep
from common.steps.open_batches import open_batches
from coordinator.dataset.arrow import load_in_background
from coordinator.engine.descriptors import DescriptorWait
from coordinator.engine.service import Coordinator, Halted
from coordinator.engine.session import RunFacts
from coordinator.engine.standby import stand_by
from coordinator.engine.tenure import Tenure
from coordinator.identity.earlier_runs import lines_about_earlier_runs
from coordinator.identity.known_data import keep_digests
from coordinator.identity.known_run import check_copy, say_what_moved
from coordinator.identity.registration import Registration
from coordinator.identity.request import RunRequest
from coordinator.identity.run_identity import RunIdentity
from coordinator.identity.stores import RunStores
from coordinator.launch.ending import Ending
from coordinator.local.embedded import end_leftover
from coordinator.local.host import LocalHost
from coordinator.plan.host_check import check_host
from coordinator.plan.load import Prepared
from coordinator.plan.routing import Routing
from coordinator.plan.worker_command import local_worker_arguments, worker_command
from coordinator.runs.earlier_keys import EarlierKeys
from coordinator.runs.failures import FailureLog
from coordinator.runs.removal import delete_run
from coordinator.runs.run_directory import RunDirectory, RunRecord
from coordinator.view.view import Outcome, Reporter

WINDOW = 2
"""Batches that a worker of a synchronous step has in hand: one is running, one is read ahead."""


class Execution:
    """Runs what a request asks for, in its run directory."""

    def __init__(
        self,
        request: RunRequest,
        reporter: Reporter,
        settings: Settings,
        prepared: Prepared,
        directory: RunDirectory,
        run: RunIdentity,
    ) -> None:
        self._request = request
        self._reporter = reporter
        self._settings = settings
        self._prepared = prepared
        self._directory = directory
        self._run = run
        self._stores = RunStores(request, directory, run.run_id, settings)
        self._ending = Ending(request, prepared.spec.name, directory, run, settings, reporter, self._stores)
        self._coordinates = False

    @classmethod
    def prepare(
        cls, request: RunRequest, reporter: Reporter, settings: Settings, prepared: Prepared, cache: Path
    ) -> Execution:
        """Finds out which run the request asks for, see `RunIdentity.find`; touches nothing."""
        run = RunIdentity.find(request, prepared, cache, reporter)
        directory = RunDirectory.of(cache, prepared.spec.name, run.signature)
        return cls(request, reporter, settings, prepared, directory, run)

    def run(self) -> Outcome:
        """Locks the run directory, runs it and returns how it ended. Raises Fenced if another process has the lock."""
        while True:
            try:
                if self._request.standby and (ended := self._stand_by()) is not None:
                    return ended  # elsewhere
                return self._run_in_directory()
            except Fenced as error:
                if self._coordinates or self._request.broker is None:
                    raise
                if not self._request.standby:
                    raise Fenced(f"{error}; to take over when it is gone, add --standby") from None

    def _stand_by(self) -> Outcome | None:
        """Waits while another process coordinates the run; returns None when this process may run it."""
        assert self._request.broker is not None
        return stand_by(self._request.broker, self._directory, self._run.run_id, self._settings, self._reporter)

    def _run_in_directory(self) -> Outcome:
        with self._directory:
            fresh = self._request.fresh
            before = self._last_record()
            if self._directory.is_condemned:
                self._reporter.say("finishing the removal of an earlier run first, which was interrupted")
                fresh = True
            check_copy(self._directory, before)
            self._stores.remember(before)
            if fresh:
                self._check_here()  # before existing results are given up for it
                if before is not None:
                    earlier = EarlierKeys(self._directory, before, self._run.run_id, self._request.broker)
                    earlier.remove(self._reporter.say)
                end_leftover(self._directory.broker)
                self._directory.clear()
                before = None
            self._compare(before)
            self._run.data.write(self._directory.path)
            if before is not None and before.status == "complete":
                return self._ending.reuse(before)
            self._stores.open()
            if not fresh:
                self._check_here()
            with ExitStack() as stack:
                if self._request.dry_run:  # once no worker is left to write
                    stack.callback(self._stores.remove)
                    if self._request.broker is not None:
                        stack.callback(delete_run, self._request.broker, self._run.run_id)
                host = stack.enter_context(LocalHost.start())
                url = self._request.broker or host.start_broker(self._directory.path)
                connection = Connection(url, one_life=True)
                stack.callback(connection.close)
                outcome = self._run_at(connection, host, before, fresh=fresh)
            if outcome.status == "complete":
                shutil.rmtree(self._directory.broker, ignore_errors=True)
                self._ending.clear_stores()
                self._ending.publish()
            return outcome

    def _compare(self, before: RunRecord | None) -> None:
        """Says what differs from earlier runs."""
        if before is not None:
            say_what_moved(before, endpoints(self._prepared.steps), self._reporter)
        elif not self._request.fresh and not self._request.dry_run:
            for line in lines_about_earlier_runs(
                self._directory, self._prepared, self._run.made_of, self._request.signed_options
            ):
                self._reporter.say(line)

    def _check_here(self) -> None:
        """Raises UsageError for anything this host lacks, if the work is done here."""
        if self._request.workers == "local":
            check_requirements(self._prepared.requirements())
            check_host(self._prepared, json.loads(self._request.environment.get(SECRETS_VARIABLE, "{}")))

    def _last_record(self) -> RunRecord | None:
        with suppress(*((RunError,) if self._request.fresh else ())):  # an unreadable record is discarded
            return self._directory.read_condemned() if self._directory.is_condemned else self._directory.read()
        return None

    def _run_at(self, connection: Connection, host: LocalHost, before: RunRecord | None, *, fresh: bool) -> Outcome:
        registration = Registration(
            run=self._run,
            request=self._request,
            prepared=self._prepared,
            directory=self._directory,
            stores=self._stores,
            connection=connection,
            reporter=self._reporter,
            before=before,
            fresh=fresh,
        )
        with Tenure.begin(registration, self._settings, host if self._request.broker is None else None) as tenure:
            self._coordinates = True
            if self._prepared.undescribed and (ended := self._ask_workers(tenure, registration)) is not None:
                return ended
            return self._coordinate(tenure, host if self._request.workers == "local" else None)

    def _ask_workers(self, tenure: Tenure, registration: Registration) -> Outcome | None:
        """Learns about the steps that this process cannot import; returns an outcome if the run ends there.

        Raises:
            SpecError: the descriptions show that the pipeline is wrong.
        """
        try:
            described = DescriptorWait(tenure, self._prepared, self._start_command(self._prepared)).run()
        except (Stopped, RunError, OSError, SpecError) as error:
            outcome = self._ending.incomplete(None, tenure, error)
            if isinstance(error, SpecError):
                raise
            return outcome
        registration.prepared = described
        return None

    def _coordinate(self, tenure: Tenure, host: LocalHost | None) -> Outcome:
        """Advances the run to its end, whatever that is; `host` is for local workers."""
        prepared = tenure.prepared
        coordinator = Coordinator(tenure, self._run_facts(prepared), self._start_command(prepared), host)
        tenure.open_run()
        if host is not None:
            # The URL may hold a password, which must not appear in a command line.
            environment = {**self._request.environment, "PENSTOCK_BROKER_URL": tenure.connection.url}
            arguments = local_worker_arguments(prepared, self._run.run_id)
            host.start_workers(arguments, environment, self._directory.log)
        load_in_background(without_pandas=self._request.spec is not None)  # a program may want it later
        try:
            outcome = self._ending.complete(coordinator.run(), tenure)
        except (Stopped, Halted, RunError, OSError) as error:
            outcome = self._ending.incomplete(coordinator.session, tenure, error)
        coordinator.publish_end(outcome)
        keep_digests(self._run.data, tenure.connection, tenure.control.keys, self._directory.path)
        if outcome.status == "complete":
            coordinator.dismiss()
        tenure.reporter.note(f"the run is {outcome.status}{': ' if outcome.reason else ''}{outcome.reason}")
        return outcome

    def _run_facts(self, prepared: Prepared) -> RunFacts:
        return RunFacts(
            pipeline=prepared.spec.name,
            plan=prepared.plan,
            windows={
                name: open_batches(step) if isinstance(step, AsyncStep) else WINDOW
                for name, step in prepared.steps.items()
            },
            parts=self._directory.parts,
            failures=FailureLog(self._directory.failures),
            settings=self._settings,
            choose_successors=Routing(prepared),
            files=self._stores.files,
            file_delay=self._stores.file_delay,
            texts=prepared.spec.on_type_conflict == "string",
        )

    def _start_command(self, prepared: Prepared) -> Callable[[str], str]:
        """Step -> what a user types to start a worker for it."""
        return partial(worker_command, prepared, run_id=self._run.run_id, broker=self._request.broker)
