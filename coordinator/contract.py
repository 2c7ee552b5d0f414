"""Does the class of a step keep the contract that its place in the graph asks for?"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from common.faults import Loc, SpecFault
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, StepInput

_MARKER = get_args(StepInput)[1]


def check_contract(step: BaseStep, predecessors: Sequence[str]) -> None:
    """Looks at the signature of `process`, given how many lists of rows it will be called with.

    Raises:
        SpecFault: a step that begins the graph or has predecessors against its kind, or a `process` that cannot be
            called with what the step will get.
    """
    name, loc = step.name, ("steps", step.name)
    class_name = type(step).__name__
    if isinstance(step, GeneratorStep):
        _check_generator(step, predecessors)
    elif not predecessors:
        raise SpecFault(
            f"step '{name}' has no predecessor, but {class_name} is not a generator step; say which step it comes "
            f"after ({name}: {{after: ...}})",
            loc,
        )
    elif isinstance(step, AsyncStep):
        _check_async(step, predecessors)
    else:
        _check_inputs(step, predecessors)


def _check_generator(step: GeneratorStep, predecessors: Sequence[str]) -> None:
    name, class_name = step.name, type(step).__name__
    if predecessors:
        raise SpecFault(
            f"step '{name}' comes after {_quoted(predecessors)}, but {class_name} is a generator step, which makes "
            "rows and takes none; remove its 'after'",
            ("steps", name, "after"),
        )
    loc: Loc = ("steps", name, "type")
    parameters = _parameters(step)
    if taken := [parameter for parameter in parameters.values() if _is_step_input(parameter)]:
        raise SpecFault(
            f"step '{name}': {class_name}.process takes rows ({taken[0].name}: StepInput), but a generator step has no "
            "predecessor; make it a Step, or remove the parameter",
            loc,
        )
    if "offset" not in parameters:
        raise SpecFault(
            f"step '{name}': {class_name}.process has no parameter 'offset'; a generator step begins at any row when "
            "it is opened again: process(self, offset: int = 0)",
            loc,
        )


def _check_async(step: AsyncStep, predecessors: Sequence[str]) -> None:
    name, class_name = step.name, type(step).__name__
    if len(predecessors) > 1:
        raise SpecFault(
            f"step '{name}' comes after {_quoted(predecessors)}, but {class_name} takes one row at a time and so has "
            "one predecessor; join them first, for example with CombineOutputs",
            ("steps", name, "after"),
        )
    if not inspect.iscoroutinefunction(inspect.unwrap(type(step).process_row)):
        raise SpecFault(
            f"step '{name}': {class_name}.process_row is not asynchronous; write 'async def process_row(self, row)'",
            ("steps", name, "type"),
        )


def _check_inputs(step: BaseStep, predecessors: Sequence[str]) -> None:
    name, class_name, loc = step.name, type(step).__name__, ("steps", step.name, "type")
    taken = [parameter for parameter in _parameters(step).values() if _is_step_input(parameter)]
    if not taken:
        raise SpecFault(
            f"step '{name}': {class_name}.process has no parameter with the type StepInput for the rows of "
            f"{_quoted(predecessors)}: process(self, inputs: StepInput)",
            loc,
        )
    if len(taken) > 1:
        names = ", ".join(parameter.name for parameter in taken)
        raise SpecFault(
            f"step '{name}': {class_name}.process has several parameters with the type StepInput ({names}); one takes "
            "the rows of one predecessor, *inputs those of several: process(self, *inputs: StepInput)",
            loc,
        )
    if len(predecessors) > 1 and taken[0].kind is not Parameter.VAR_POSITIONAL:
        raise SpecFault(
            f"step '{name}' comes after {_quoted(predecessors)}, but {class_name}.process takes the rows of one step; "
            "join them first, for example with CombineOutputs, or write process(self, *inputs: StepInput)",
            ("steps", name, "after"),
        )


def _parameters(step: BaseStep) -> Mapping[str, Parameter]:
    process: Any = getattr(type(step), "process", None)
    if process is None:
        return {}
    parameters = inspect.signature(process).parameters
    try:
        hints = get_type_hints(process, include_extras=True)
    except Exception:  # a name that only type checkers import: the annotations stay text
        return parameters
    return {name: parameter.replace(annotation=hints.get(name, Any)) for name, parameter in parameters.items()}


def _is_step_input(parameter: Parameter) -> bool:
    hint = parameter.annotation
    if isinstance(hint, str):
        return _MARKER in hint
    return get_origin(hint) is Annotated and _MARKER in hint.__metadata__


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
