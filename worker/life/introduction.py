"""Steps that the coordinator cannot import: the first worker of a step describes it; the others must match.

Until all of them are described, the pipeline cannot be validated, so no worker loads its step.
"""

from __future__ import annotations

import logging
import threading

from common.broker.consumer import Consumer
from common.broker.patience import Patience
from common.broker.runs import RunRecord, RunRegistry
from common.broker.step_notes import StepNotes
from common.building.descriptor import StepDescriptor, describe_step
from common.code.source import Sources
from common.errors import CannotServe, PenstockError, describe
from common.steps.base import BaseStep

LOOK_SECONDS = 0.25

logger = logging.getLogger("penstock.worker")


class Introduction:
    """One worker's side of the introduction."""

    def __init__(self, consumer: Consumer, record: RunRecord, patience: Patience) -> None:
        self._connection = consumer.connection
        self._record = record
        self._notes = StepNotes(consumer)
        self._patience = patience

    def make(self, step: BaseStep, stopping: threading.Event, sources: Sources) -> RunRecord | None:
        """Describes the step if asked to, and waits until the run knows all its steps.

        Args:
            sources: the code of the step, as already read.

        Returns:
            The run at that time; None if the worker must stop.

        Raises:
            CannotServe: the step cannot be described, or the run already has a different source of it.
        """
        registry, record = RunRegistry(self._connection), self._record
        own: StepDescriptor | None = None
        first: StepDescriptor | None = None
        said = ""
        while not stopping.is_set():
            waits_for = record.options.undescribed
            if step.name in (*waits_for, *record.options.described):
                own = own or self._describe(step, sources)
                first = self._compare(step, own)
            if not waits_for:
                if own is not None and first is not None and first.fingerprint != own.fingerprint:
                    logger.warning("step '%s': its data has changed since the run began", step.name)
                return record
            others = ", ".join(f"'{name}'" for name in waits_for if name != step.name)
            if others and others != said:
                said = others
                logger.info("step '%s' is loaded once workers of %s have described them", step.name, others)
            stopping.wait(LOOK_SECONDS)
            record = self._patience.insist(lambda: registry.read(self._record.run_id)) or record
        return None

    def _describe(self, step: BaseStep, sources: Sources) -> StepDescriptor:
        try:
            return describe_step(step, sources)
        except PenstockError as error:
            raise CannotServe(str(error)) from error
        except Exception as error:  # any error in the user's own fingerprint
            raise CannotServe(f"step '{step.name}' cannot be described: {describe(error)}") from error

    def _compare(self, step: BaseStep, own: StepDescriptor) -> StepDescriptor | None:
        """The description of the step that the run uses; None if the run is over and does not ask."""
        said = self._patience.insist(lambda: self._notes.describe(own.encode()))
        if said is None:
            return None
        first = StepDescriptor.decode(step.name, said)
        if first.digest != own.digest:
            raise CannotServe(
                f"step '{step.name}': the source of {own.class_name} on this host differs from the run's "
                f"(digest {own.digest}, not {first.digest}); install the same version on all hosts, or start "
                "over with --fresh"
            )
        return first
