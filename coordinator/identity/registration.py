"""How a run is registered: who coordinates it, and what its broker and its run directory record about it."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from common.broker.connection import Connection
from common.broker.control import Control
from common.broker.runs import RunRegistry
from common.building.descriptor import endpoints
from common.cache import cache_directory
from common.errors import UsageError
from common.protocol.run_options import KeptAnswers
from common.protocol.wire import PROTOCOL
from coordinator.identity.known_run import all_endpoints, check_known_run
from coordinator.identity.request import RunRequest
from coordinator.identity.run_identity import RunIdentity
from coordinator.identity.stores import RunStores
from coordinator.plan.load import Prepared
from coordinator.plan.pipeline_options import pipeline_options
from coordinator.plan.routing import Routing
from coordinator.runs.bill import Bill
from coordinator.runs.run_directory import RunDirectory, RunRecord
from coordinator.view.view import Reporter


@dataclass(slots=True)
class Registration:
    """The registration of a run, which may have begun before, at one broker.

    Args:
        prepared: replaced once workers have described the steps that this process cannot import.
        before: what the run directory recorded about an earlier execution.
        fresh: discard what earlier executions have left.
    """

    run: RunIdentity
    request: RunRequest
    prepared: Prepared
    directory: RunDirectory
    stores: RunStores
    connection: Connection
    reporter: Reporter
    before: RunRecord | None
    fresh: bool

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.run.run_id

    def begin(self, control: Control) -> None:
        """Becomes the coordinator; may be repeated, since the broker may disappear at any point.

        Raises:
            BrokerError: the broker could lose work.
            UsageError: the broker does not know the run, or its id belongs to another one.
            Fenced: another coordinator is alive.
        """
        if not self.connection.check().append_only:
            self.reporter.say(
                "the broker writes no AOF (appendonly no): if it dies, this run falls back to the last snapshot, or "
                "to its beginning"
            )
        if self.fresh:
            self._forget(control)
        else:
            before = self.before
            check_known_run(self._registry, self._record(before), before, self.reporter, self.run.data)
        control.take_over(self._dead_token())

    def open(self, control: Control) -> None:
        """Registers the run, or reports what has changed since it was last worked on."""
        if control.is_forgotten():
            control.regain(threading.Event())
        prepared = self.prepared
        steps = list(prepared.plan.steps)
        options = replace(
            self.stores.tell(pipeline_options(prepared, Routing(prepared), self.run.sources)),
            limit=self.request.limit,
            dry_run=self.request.dry_run,
            files=self.run.data.of_parameters,
            answers=self._answers,
        )
        record = self._record(self.directory.read())
        control.update(
            protocol=PROTOCOL,
            pipeline=record.pipeline,
            signature=record.signature,
            spec=json.dumps(prepared.spec.dump_for_workers()),
            options=options.encode(),
            status="starting",
            want="",
            begun=self._registry.begun(self.run_id) or record.created.isoformat(),
        )
        control.ensure_groups(steps)
        control.forget_workers()
        if self.request.broker is None:
            control.reclaim(steps)
        self._registry.add(self.run_id)
        self.directory.write(record)

    def _record(self, begun: RunRecord | None) -> RunRecord:
        return RunRecord(
            run=self.run_id,
            pipeline=self.prepared.spec.name,
            signature=self.run.signature,
            created=begun.created if begun else datetime.now(UTC),
            broker=self.request.broker,
            payloads=self.stores.recorded,
            endpoints=all_endpoints(begun, endpoints(self.prepared.steps)),
            done=begun.done if begun else {},
            bill=begun.bill if begun else Bill(),
            identity=self.run.made_of.digests(),
        )

    @property
    def _answers(self) -> KeptAnswers:
        """A dry run has a cache folder of its own, but keeps the answers for the run that follows."""
        try:
            return KeptAnswers(self.request.answers, str(cache_directory(self.request.cache_dir)))
        except UsageError:  # no home folder, and a worker on this host will say so
            return KeptAnswers(self.request.answers)

    @property
    def _registry(self) -> RunRegistry:
        return RunRegistry(self.connection)

    def _dead_token(self) -> str:
        """Need not wait for the lease of a coordinator that had this run directory: this process has its lock."""
        holder = self._registry.lease_holder(self.run_id)
        return holder.token if holder is not None and self.directory.is_of(holder) else ""

    def _forget(self, control: Control) -> None:
        """For `--fresh`: deletes under the lease, so that no other coordinator loses its run."""
        control.take_over(self._dead_token())
        self._registry.delete(self.run_id, control.holder.token, control.lease, keeps_lease=True)
        if problem := self.stores.start_over():
            self.reporter.say(problem)
