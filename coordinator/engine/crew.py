"""The workers of a run as the coordinator sees them: which are there, which are missing, which have left and why."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass, field

from common.broker.reports import Reports
from common.broker.runs import RunRegistry, WorkerRecord
from common.errors import RunError
from common.settings import Settings
from coordinator.runs.failures import FailureLog
from coordinator.runs.logfile import PipelineLog
from coordinator.view.view import Reporter


@dataclass(slots=True)
class Crew:
    """The workers of a run at the last check.

    Args:
        start_command: step -> what a user types to start a worker for it.
        records: workers that have joined and not left, including dead ones.
        loaded: steps that a worker has loaded since the run began.
    """

    registry: RunRegistry
    run_id: str
    settings: Settings
    reporter: Reporter
    start_command: Callable[[str], str]
    records: Sequence[WorkerRecord] = ()
    loaded: Collection[str] = ()
    _alive: Counter[str] = field(default_factory=Counter)
    _missing_since: dict[str, float] = field(default_factory=dict)
    _hinted: set[str] = field(default_factory=set)

    def look(self, steps: Sequence[str]) -> None:
        """Asks the broker; `steps` are all steps of the run."""
        self.records = self.registry.workers(self.run_id)
        self._alive = Counter(record.step for record in self.records if record.alive)
        self.loaded = self.registry.loaded_steps(self.run_id, list(steps))

    def alive(self, step: str) -> int:
        """Live workers of a step."""
        return self._alive[step]

    @property
    def anyone_waits(self) -> bool:
        """Whether a worker waits for something such as an endpoint."""
        return any(record.away for record in self.records)

    def away(self, steps: Collection[str], busy: Container[str]) -> str:
        """What all workers of one of the steps that have rows wait for, such as an endpoint; empty if nothing.

        Args:
            busy: ids of workers with batches in hand. One without any does not know how its endpoint is.
        """
        for step in steps:
            workers = [record for record in self.records if record.step == step and record.alive and record.loaded]
            waiting = [record.away for record in workers if record.away]
            if waiting and not any(record.worker_id in busy and not record.away for record in workers):
                return waiting[0]
        return ""

    def check(self, needed: Collection[str], due: Collection[str]) -> None:
        """Reports which workers have left, and which steps have been without workers for a while.

        Args:
            needed: steps with work left.
            due: steps that should have a worker by now.

        Raises:
            RunError: a step cannot be loaded, or a local worker cannot serve.
        """
        for record in self.records:
            if record.step not in needed:
                continue
            # Once the step has been loaded, only that worker is affected, unless no other one is left to run it.
            nobody = record.local and not self.alive(record.step)
            if record.load_error and (record.step not in self.loaded or nobody):
                raise RunError(f"step '{record.step}' cannot be loaded:\n{record.load_error.rstrip()}")
            if record.refused and record.local:
                raise RunError(f"a local worker cannot serve its step: {record.refused}")
            if record.refused and record.worker_id not in self._hinted:
                self._hinted.add(record.worker_id)
                self.reporter.say(f"worker {record.worker_id} on {record.host} has left: {record.refused}")
            if record.waits and record.alive and record.worker_id not in self._hinted:
                self._hinted.add(record.worker_id)
                self.reporter.say(f"worker {record.worker_id} of step '{record.step}' {record.waits}")
        self._check_missing([step for step in needed if step in due and not self.alive(step)])

    def _check_missing(self, missing: Sequence[str]) -> None:
        now = time.monotonic()
        for step in missing:
            since = self._missing_since.setdefault(step, now)
            if now - since > self.settings.starting_hint and step not in self._hinted:
                self._hinted.add(step)
                self.reporter.say(f"no worker for step '{step}' yet; start one with: {self.start_command(step)}")
        for step in set(self._missing_since) - set(missing):
            del self._missing_since[step]
            self._hinted.discard(step)


def collect_reports(reports: Reports, log: PipelineLog, failures: FailureLog) -> None:
    """Moves the reports of workers, log records and dead letters, from the broker to the run directory."""
    reports.more = True
    while reports.more:  # not until there are none: workers may report as fast as this reads
        lines = reports.log()
        log.write_shipped(*(fields.get(b"m", b"") for _, fields in lines))
        reports.drop(reports.keys.log, [entry for entry, _ in lines])
    reports.more = True
    while reports.more:
        letters, entries = reports.letters(lambda text: log.write(time.time(), "WARNING", text, by="coordinator"))
        failures.append(letters)
        reports.drop(reports.keys.failed, entries)
