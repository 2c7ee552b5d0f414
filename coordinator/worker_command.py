"""What a user types to start a worker."""

from __future__ import annotations

import shlex

from common.broker.shown_url import redact
from common.spec import StepSpec
from common.stand_in import StandIn, Undescribed
from coordinator.load import Prepared


def worker_command(prepared: Prepared, step: str, run_id: str, broker: str | None) -> str:
    """`pipeline-worker`, with the modules that the step needs; DIR and URL are for the user to fill in."""
    words = ["pipeline-worker", "--step", step, "--run", run_id, "--broker", redact(broker) if broker else "URL"]
    modules = step_modules(prepared, step)
    for module in modules:
        words += ["--allow", module]
    if modules:
        elsewhere = isinstance(prepared.steps[step], Undescribed | StandIn)
        words += ["--base-dir", "DIR" if elsewhere else str(prepared.folder)]
    return shlex.join(words)


def step_modules(prepared: Prepared, step: str) -> tuple[str, ...]:
    """The modules that a worker of the step must allow: beside its class, those of its LLM and its routing function."""
    names = list(_types(prepared.spec.steps[step]))
    if step in prepared.routing and prepared.routing[step].reads_rows:
        names.append(prepared.spec.routing[step].function)
    return tuple(dict.fromkeys(name.partition(":")[0] for name in names if ":" in name))


def _types(spec: StepSpec) -> list[str]:
    """Of the step, and of what is in it, such as its LLM."""
    inside = [value.get("type") for value in spec.params.values() if isinstance(value, dict)]
    return [spec.type, *(type_name for type_name in inside if isinstance(type_name, str))]


def local_worker_arguments(prepared: Prepared, run_id: str) -> list[str]:
    """What the supervisor of a run's local workers is started with."""
    arguments = ["--all-steps", "--run", run_id, "--local", "--base-dir", str(prepared.folder)]
    for module in prepared.allow:
        arguments += ["--allow", module]
    return arguments
