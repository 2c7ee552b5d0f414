"""What a user types to start a worker."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.broker.runs import RunRecord
from common.building.stand_in import StandIn, Undescribed
from common.words.shown_url import redact
from coordinator.plan.load import Prepared


def worker_command(prepared: Prepared, step: str, run_id: str, broker: str | None) -> str:
    """`pipeline-worker` with the modules that the step needs; the user fills in DIR and URL."""
    elsewhere = isinstance(prepared.steps[step], Undescribed | StandIn)
    folder = "DIR" if elsewhere else str(prepared.folder)
    return _command(step, run_id, redact(broker) if broker else "URL", step_modules(prepared, step), folder)


def local_worker_command(record: RunRecord, step: str, broker: str) -> str:
    """The same for one more worker on the host of a run, complete, from what the broker knows about the run.

    Args:
        broker: URL, shown as it is.
    """
    spec = record.spec["steps"].get(step, {})
    routing = record.spec.get("routing") or {}
    chooses = [routing[step].get("function")] if step in record.options.routing and step in routing else []
    modules = _modules([*_types(spec.get("type"), spec), *(name for name in chooses if isinstance(name, str))])
    return _command(step, record.run_id, broker, modules, str(record.options.base_dir))


def _command(step: str, run_id: str, broker: str, modules: Sequence[str], folder: str) -> str:
    options = ("--run", run_id, "--broker", broker)
    return shlex.join(worker_words(step, options, modules, folder if modules else None))


def worker_words(step: str, options: Iterable[str], modules: Iterable[str], base_dir: str | None) -> list[str]:
    """`pipeline-worker` for one step.

    Args:
        options: besides the step, the modules and the folder.
        modules: to be allowed.
        base_dir: the folder of the spec, where the worker is; None where it needs none.
    """
    folder = [] if base_dir is None else ["--base-dir", base_dir]
    return ["pipeline-worker", "--step", step, *options, *_allowed(modules), *folder]


def _allowed(modules: Iterable[str]) -> list[str]:
    return [word for module in modules for word in ("--allow", module)]


def step_modules(prepared: Prepared, step: str) -> tuple[str, ...]:
    """The modules that a worker of the step must allow: those of its class, its models and its routing function."""
    spec = prepared.spec.steps[step]
    names = _types(spec.type, spec.params)
    if step in prepared.routing and prepared.routing[step].reads_rows:
        names.append(prepared.spec.routing[step].function)
    return _modules(names)


def _modules(types: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.partition(":")[0] for name in types if ":" in name))


def _types(step_type: Any, params: Mapping[str, Any]) -> list[str]:
    """The classes of the step and of what is inside it, such as its LLM, and the function that it calls."""
    inside = [value.get("type") for value in params.values() if isinstance(value, dict)]
    return [name for name in (step_type, *inside, params.get("function")) if isinstance(name, str)]


def local_worker_arguments(prepared: Prepared, run_id: str) -> list[str]:
    """The command that starts the supervisor of a run's local workers."""
    options = ["--all-steps", "--run", run_id, "--local", "--base-dir", str(prepared.folder)]
    return [*options, *_allowed(prepared.allow)]
