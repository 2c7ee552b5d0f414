"""The parameters of `process`, and which of them take rows."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from inspect import Parameter
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from common.steps.base import BaseStep, StepInput

_MARKER = get_args(StepInput)[1]


def process_parameters(cls: type[BaseStep]) -> Mapping[str, Parameter]:
    """Name -> parameter, annotations resolved; empty for a class without `process`."""
    process: Any = getattr(cls, "process", None)
    if process is None:
        return {}
    parameters = inspect.signature(process).parameters
    try:
        hints = get_type_hints(process, include_extras=True)
    except Exception:  # a name that only type checkers import: the annotations stay text
        return parameters
    return {name: parameter.replace(annotation=hints.get(name, Any)) for name, parameter in parameters.items()}


def takes_rows(parameter: Parameter) -> bool:
    """Is it annotated as a `StepInput`?"""
    hint = parameter.annotation
    if isinstance(hint, str):
        return _MARKER in hint
    return get_origin(hint) is Annotated and _MARKER in hint.__metadata__
