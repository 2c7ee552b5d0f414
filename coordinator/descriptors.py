"""Steps that this process cannot import: the run waits until a worker has described each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from common.broker.connection import Connection
from common.broker.control import Control
from common.broker.reports import Reports
from common.broker.runs import RunRegistry
from common.descriptor import StepDescriptor
from common.errors import Disconnected, Fenced, RunError, SpecFault, Stopped
from common.settings import Settings
from coordinator.crew import Crew, collect_reports
from coordinator.failures import FailureLog
from coordinator.load import Prepared
from coordinator.logfile import PipelineLog
from coordinator.service import wait_for_broker
from coordinator.view import Reporter

LOOK_SECONDS = 0.25


class DescriptorWait:
    """From a pipeline with undescribed steps to one that is known.

    Args:
        prepared: has undescribed steps.
        open_run: makes the run known to workers; may be called again.
        recover: called when the broker cannot be reached, see `Coordinator`.
        start_command: step -> what a user types to start a worker for it.
    """

    def __init__(
        self,
        connection: Connection,
        control: Control,
        prepared: Prepared,
        settings: Settings,
        reporter: Reporter,
        *,
        open_run: Callable[[], None],
        recover: Callable[[threading.Event], None],
        start_command: Callable[[str], str],
    ) -> None:
        self._control = control
        self._reports = Reports(connection, control.keys.run_id)
        self._prepared = prepared
        self._reporter = reporter
        self._open_run = open_run
        self._recover = recover
        self._crew = Crew(RunRegistry(connection), control.keys.run_id, settings, reporter, start_command)
        self._stop_asked = threading.Event()
        self._fenced: Fenced | None = None

    def stop(self) -> None:
        """Asks the run to stop; from any thread."""
        self._stop_asked.set()

    def fence(self, error: Fenced) -> None:
        """Another coordinator has the run: `run` raises `error` soon; from any thread."""
        self._fenced = error

    def run(self, log: PipelineLog, failures: FailureLog) -> Prepared:
        """The whole pipeline, every check done. At once where an earlier execution has asked already.

        Args:
            log, failures: where what workers report goes meanwhile.

        Raises:
            Stopped: the run was asked to stop.
            Fenced: another coordinator has it.
            SpecError: a worker, or a check of what it says, has found a mistake.
            RunError: it cannot go on.
        """
        try:
            said = self._wait(log, failures)
            return self._prepared.with_descriptors(
                {step: StepDescriptor.decode(step, data) for step, data in said.items()}
            )
        except Exception:
            self._forget()
            raise

    def _wait(self, log: PipelineLog, failures: FailureLog) -> dict[str, bytes]:
        lost = False
        while True:
            try:
                said = self._control.descriptors(self._prepared.undescribed)
                if len(said) == len(self._prepared.undescribed):
                    return said
                if not lost:
                    for why in self._prepared.undescribed.values():
                        self._reporter.say(f"{why}; waiting for a worker of the step, which says what it is")
                self._open_run()
                return self._look_until_known(log, failures)
            except Disconnected as error:
                lost = True
                self._reporter.say(str(error))
                wait_for_broker(self._recover, self._stop_asked)

    def _look_until_known(self, log: PipelineLog, failures: FailureLog) -> dict[str, bytes]:
        steps = list(self._prepared.plan.steps)
        before: dict[str, bytes] = {}
        while True:
            said = self._control.descriptors(self._prepared.undescribed)
            for step in said.keys() - before.keys():
                self._reporter.say(f"a worker has said what step '{step}' is")
            before = said
            if len(said) == len(self._prepared.undescribed):
                return said
            collect_reports(self._reports, log, failures)
            self._crew.look(steps)
            self._check_faults(said)
            self._crew.check(steps, steps)
            if self._fenced is not None:
                raise self._fenced
            if self._stop_asked.wait(LOOK_SECONDS) or self._control.want() == "stop":
                raise Stopped

    def _check_faults(self, said: dict[str, bytes]) -> None:
        """A worker that could import a step, and has found that the spec gives it wrong parameters."""
        for record in self._crew.records:
            if record.fault is not None and record.step in self._prepared.undescribed and record.step not in said:
                fault = SpecFault(f"{record.fault.message} (says the worker on host {record.host})", record.fault.loc)
                raise self._prepared.source.error(fault)

    def _forget(self) -> None:
        """A run that has not begun may begin with another source of the step."""
        with suppress(RunError, Fenced):
            if not self._control.journal.position():
                self._control.forget_descriptors(self._prepared.undescribed)
