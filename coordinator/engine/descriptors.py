"""Steps that this process cannot import: the run waits until a worker has described each of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress

from common.building.descriptor import StepDescriptor
from common.errors import Fenced, RunError, SpecFault, Stopped
from coordinator.engine.crew import Crew
from coordinator.engine.tenure import Tenure
from coordinator.plan.load import Prepared

LOOK_SECONDS = 0.25


class DescriptorWait:
    """Completes a pipeline that has undescribed steps.

    Args:
        prepared: has undescribed steps.
        start_command: step -> what a user types to start a worker for it.
    """

    def __init__(self, tenure: Tenure, prepared: Prepared, start_command: Callable[[str], str]) -> None:
        self._tenure = tenure
        self._prepared = prepared
        self._crew = Crew(tenure.registry, tenure.run_id, tenure.settings, tenure.reporter, start_command)

    def run(self) -> Prepared:
        """The whole pipeline, fully checked; at once if an earlier execution has already got the descriptions.

        Raises:
            Stopped: the run was asked to stop.
            Fenced: another coordinator has it.
            SpecError: a worker, or a check of its description, has found a mistake.
            RunError: it cannot continue.
        """
        try:
            return self._prepared.with_descriptors(
                {step: StepDescriptor.decode(step, data) for step, data in self._wait().items()}
            )
        except Exception:
            self._forget()
            raise

    def _wait(self) -> dict[str, bytes]:
        said = self._tenure.insist(self._said)
        if self._is_all(said):
            return said
        for why in self._prepared.undescribed.values():
            self._tenure.reporter.say(f"{why}; waiting for a worker of the step to describe it")
        return self._tenure.insist(self._open_and_look)

    def _said(self) -> dict[str, bytes]:
        return self._tenure.control.descriptors(self._prepared.undescribed)

    def _is_all(self, said: Collection[str]) -> bool:
        return len(said) == len(self._prepared.undescribed)

    def _open_and_look(self) -> dict[str, bytes]:
        tenure, steps = self._tenure, list(self._prepared.plan.steps)
        tenure.open_run()
        before: dict[str, bytes] = {}
        while True:
            said = self._said()
            for step in said.keys() - before.keys():
                tenure.reporter.say(f"a worker has described step '{step}'")
            before = said
            if self._is_all(said):
                return said
            tenure.collect_reports()
            self._crew.look(steps)
            self._check_faults(said)
            self._crew.check(steps, steps)
            tenure.check()
            if tenure.stop_asked.wait(LOOK_SECONDS) or tenure.control.want() == "stop":
                raise Stopped

    def _check_faults(self, said: dict[str, bytes]) -> None:
        """Raises the mistake found by a worker that could import a step: the spec gives it wrong parameters."""
        for record in self._crew.records:
            if record.fault is not None and record.step in self._prepared.undescribed and record.step not in said:
                fault = SpecFault(f"{record.fault.message} (says the worker on host {record.host})", record.fault.loc)
                raise self._prepared.source.error(fault)

    def _forget(self) -> None:
        """Forgets the descriptions: a run that has not begun may begin with another source of the step."""
        with suppress(RunError, Fenced):
            if not self._tenure.control.journal.position():
                self._tenure.control.forget_descriptors(self._prepared.undescribed)
