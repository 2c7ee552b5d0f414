"""The parameters of `process`, which of them take rows, and whether it returns anything."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Mapping
from inspect import Parameter
from types import FunctionType
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
    except Exception:  # a name imported for type checkers only: the annotations stay text
        return parameters
    return {name: parameter.replace(annotation=hints.get(name, Any)) for name, parameter in parameters.items()}


def takes_rows(parameter: Parameter) -> bool:
    """Whether the parameter is annotated as a `StepInput`."""
    hint = parameter.annotation
    if isinstance(hint, str):
        return _MARKER in hint
    return get_origin(hint) is Annotated and _MARKER in hint.__metadata__


def returns_nothing(function: FunctionType) -> bool:
    """Whether a call always returns None, with neither a yield nor a result."""
    if function.__code__.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        return False
    returned, before = [], None
    for instruction in dis.get_instructions(function):
        if instruction.opname == "RETURN_CONST":
            returned.append(instruction.argval is None)
        elif instruction.opname == "RETURN_VALUE":
            returned.append(before is not None and before.opname == "LOAD_CONST" and before.argval is None)
        before = instruction
    return bool(returned) and all(returned)
