"""From a step, or a routing function, to its spec: the inverse of `build` and `build_routing`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from common.errors import UsageError
from common.naming.plain_data import dump_fields, dump_value
from common.naming.registry import spec_type
from common.routing import RoutingBatchFunction
from common.spec.spec import absolute_path
from common.steps.base import BaseStep


def dump_step(step: BaseStep, after: Sequence[str] = (), *, base_dir: Path | None = None) -> dict[str, Any]:
    """The entry of a step below `steps` in a spec: its type, its predecessors, the parameters that differ from their
    defaults, LLMs as mappings with their type. Secrets are omitted.

    Args:
        base_dir: the folder against which the step's `path_fields` are resolved; None leaves relative paths.

    Raises:
        UsageError: no worker can import the class, or a file cannot hold a parameter.
    """
    dumped: dict[str, Any] = {"type": spec_type(type(step))}
    if after:
        dumped["after"] = list(after)
    dumped |= dump_parameters(step)
    if base_dir is not None:
        dumped |= {name: absolute_path(dumped[name], base_dir) for name in step.path_fields if name in dumped}
    return dumped


def dump_parameters(model: BaseModel) -> dict[str, Any]:
    """Plain data: the fields of a step or an LLM that differ from their defaults, without the name of a step."""
    return dump_fields(model, without=("name",) if isinstance(model, BaseStep) else ())


def dump_routing(function: RoutingBatchFunction) -> dict[str, Any]:
    """The entry of a function below `routing` in a spec: `function`, and the options that differ from their defaults.

    Raises:
        UsageError: no other process can import it, or a file cannot hold one of the options.
    """
    defaults = function.defaults
    found: dict[str, Any] = {"function": function.import_name}
    for name, value in function.options.items():
        if name in defaults and defaults[name] == value:
            continue
        try:
            found[name] = dump_value(value)
        except ValueError as error:
            raise UsageError(
                f"the routing function '{function.name}': the option '{name}' holds a {type(value).__name__}, which a "
                f"spec cannot hold ({error}): pass text, numbers, lists or mappings"
            ) from None
    return found
