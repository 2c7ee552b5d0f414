"""Which run a worker joins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from common.broker.connection import Connection
from common.broker.runs import RunRecord, RunRegistry
from common.errors import CannotServe, OtherProtocol, UsageError
from common.faults import nearest

POLL_SECONDS = 0.5
WORKABLE = ("starting", "running")

logger = logging.getLogger("penstock.worker")


def find_run(
    connection: Connection,
    step: str | None,
    run_id: str | None,
    pipeline: str | None,
    pause: Callable[[float], bool],
    *,
    stay: bool = False,
) -> RunRecord | None:
    """Waits for a run that wants this worker. Of several it is the one that has a coordinator.

    Args:
        step: the worker's step; None for a worker of all steps.
        pause: waits for some seconds; returns True when the worker is to stop.
        stay: wait for a coordinator, and, where several runs that have one fit, until it is only one.

    Returns:
        The run, or None when the worker was stopped while it waited.

    Raises:
        UsageError: several runs fit, and not just one of them has a coordinator; or the run that was named, or, without
            `stay`, every run that goes on, does not have the step.
        CannotServe: the run that was named was made by another version.
    """
    registry = RunRegistry(connection)
    said: set[str] = set()

    def say_once(text: str) -> None:
        if text not in said:
            said.add(text)
            logger.warning("%s", text)

    def complain(text: str) -> None:
        say_once(f"passed over: {text}")

    while True:
        if run_id and registry.status(run_id)[0] == "complete":
            logger.warning("run '%s' is complete: there is nothing left to do", run_id)
            return None
        found = [
            record
            for record in ([_read(registry, run_id)] if run_id else registry.all(complain))
            if record is not None and record.status in WORKABLE and pipeline in (None, record.pipeline)
        ]
        others = [record for record in found if step is not None and step not in record.spec["steps"]]
        found = [record for record in found if record not in others]
        if step and others and not found:
            if run_id:
                raise UsageError(_no_such_step(step, others))
            going_on = [record for record in others if registry.is_coordinated(record.run_id)]
            if going_on and not stay:
                raise UsageError(f"{_no_such_step(step, going_on)} (--stay waits for a run that has it)")
        if stay or len(found) > 1:
            coordinated = [record for record in found if registry.is_coordinated(record.run_id)]
            if stay or len(coordinated) == 1:
                for record in found:
                    if record not in coordinated:
                        complain(f"run '{record.run_id}' has no coordinator")
                found = coordinated
        if len(found) == 1:
            return found[0]
        if found:
            several = f"several runs want {_wanted(step)}: {', '.join(record.run_id for record in found)}"
            if not stay:
                raise UsageError(f"{several}; choose one with --run RUN")
            say_once(f"{several}; waiting until it is one, or choose one with --run RUN")
        else:
            which = f"run '{run_id}'" if run_id else f"a run of '{pipeline}'" if pipeline else "a run"
            say_once(f"waiting for {which} that wants {_wanted(step)} at {connection.shown_url}")
        if pause(POLL_SECONDS):
            return None


def _read(registry: RunRegistry, run_id: str) -> RunRecord | None:
    try:
        return registry.read(run_id)
    except OtherProtocol as error:
        raise CannotServe(str(error)) from error


def _no_such_step(step: str, runs: Sequence[RunRecord]) -> str:
    steps_of = {one.run_id: list(one.spec["steps"]) for one in runs}
    lacks = [f"run '{run}' has no step '{step}'; its steps are: {', '.join(steps)}" for run, steps in steps_of.items()]
    close = nearest(step, {name for steps in steps_of.values() for name in steps})
    return "; ".join(lacks) + (f"; did you mean '{close}'?" if close else "")


def _wanted(step: str | None) -> str:
    return f"step '{step}'" if step else "workers"
