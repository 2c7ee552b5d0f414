"""Checks that the class of a step meets the contract of its place in the graph."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from inspect import Parameter

from common.errors import Loc, SpecFault
from common.steps.base import AsyncStep, BaseStep, GeneratorStep
from common.steps.decorator import function_of
from common.steps.process_signature import process_parameters, returns_nothing, takes_rows


def check_contract(step: BaseStep, predecessors: Sequence[str]) -> None:
    """Checks the signature of `process` against the number of row lists that it will be called with.

    Raises:
        SpecFault: a step starts the graph or has predecessors although its kind does not allow it, its `process`
            cannot be called with what the step will get, or it has a `skip_when` and no rows that could pass it by.
    """
    name, loc = step.name, ("steps", step.name)
    class_name = type(step).__name__
    if step.skip_when is not None:
        _check_skips(step, predecessors)
    if not isinstance(step, AsyncStep):
        _check_yields(step)
    if isinstance(step, GeneratorStep):
        _check_generator(step, predecessors)
    elif not predecessors:
        raise SpecFault(
            f"step '{name}' has no predecessor, but {class_name} is not a generator step; name the step it comes "
            f"after ({name}: {{after: ...}})",
            loc,
        )
    elif isinstance(step, AsyncStep):
        _check_async(step, predecessors)
    else:
        _check_inputs(step, predecessors)


def _check_skips(step: BaseStep, predecessors: Sequence[str]) -> None:
    name, class_name, loc = step.name, type(step).__name__, ("steps", step.name, "skip_when")
    if isinstance(step, GeneratorStep):
        raise SpecFault(
            f"step '{name}' has a skip_when, but {class_name} is a generator step, which takes no rows that could pass "
            "it by; remove its 'skip_when', or leave out rows in a step after it: {type: FilterRows, condition: ...}",
            loc,
        )
    if len(predecessors) > 1:
        raise SpecFault(
            f"step '{name}' has a skip_when and comes after {_quoted(predecessors)}: it takes rows of each together, "
            "so none of them can pass it by; join them first, for example with CombineOutputs, and put the skip_when "
            "on a step after that",
            loc,
        )


def _check_yields(step: BaseStep) -> None:
    """A `process` without a yield returns None, which would otherwise be noticed only at the first batch."""
    cls = type(step)
    function = inspect.unwrap(function_of(cls) or cls.process)  # type: ignore[attr-defined]
    if not inspect.isfunction(function) or not returns_nothing(function):
        return
    name = function.__name__ if function_of(cls) else f"{cls.__name__}.process"
    written = "yield rows, last" if isinstance(step, GeneratorStep) else "yield rows"
    code = function.__code__
    raise SpecFault(
        f"step '{step.name}': {name} ({code.co_filename}:{code.co_firstlineno}) has no yield, so it produces no rows; "
        f"write '{written}', once or several times",
        ("steps", step.name, "type"),
    )


def _check_generator(step: GeneratorStep, predecessors: Sequence[str]) -> None:
    name, class_name = step.name, type(step).__name__
    if predecessors:
        raise SpecFault(
            f"step '{name}' comes after {_quoted(predecessors)}, but {class_name} is a generator step, which takes no "
            "input rows; remove its 'after'",
            ("steps", name, "after"),
        )
    loc: Loc = ("steps", name, "type")
    parameters = process_parameters(type(step))
    if taken := [parameter for parameter in parameters.values() if takes_rows(parameter)]:
        raise SpecFault(
            f"step '{name}': {class_name}.process takes rows ({taken[0].name}: StepInput), but a generator step has no "
            "predecessor; make it a Step, or remove the parameter",
            loc,
        )
    if "offset" not in parameters:
        raise SpecFault(
            f"step '{name}': {class_name}.process has no parameter 'offset', and a generator step must be able to "
            "resume at any row: write process(self, offset: int = 0)",
            loc,
        )


def _check_async(step: AsyncStep, predecessors: Sequence[str]) -> None:
    name, class_name = step.name, type(step).__name__
    if len(predecessors) > 1:
        raise SpecFault(
            f"step '{name}' comes after {_quoted(predecessors)}, but {class_name} takes one row at a time and so can "
            "have only one predecessor; join them first, for example with CombineOutputs",
            ("steps", name, "after"),
        )
    if not inspect.iscoroutinefunction(inspect.unwrap(type(step).process_row)):
        raise SpecFault(
            f"step '{name}': {class_name}.process_row is not asynchronous; write 'async def process_row(self, row)'",
            ("steps", name, "type"),
        )


def _check_inputs(step: BaseStep, predecessors: Sequence[str]) -> None:
    name, class_name, loc = step.name, type(step).__name__, ("steps", step.name, "type")
    taken = [parameter for parameter in process_parameters(type(step)).values() if takes_rows(parameter)]
    if not taken:
        raise SpecFault(
            f"step '{name}': {class_name}.process has no parameter of type StepInput for the rows of "
            f"{_quoted(predecessors)}; write process(self, inputs: StepInput)",
            loc,
        )
    if len(taken) > 1:
        names = ", ".join(parameter.name for parameter in taken)
        raise SpecFault(
            f"step '{name}': {class_name}.process has several parameters of type StepInput ({names}); to take the "
            "rows of several predecessors, write process(self, *inputs: StepInput)",
            loc,
        )
    if len(predecessors) > 1 and taken[0].kind is not Parameter.VAR_POSITIONAL:
        made = function_of(type(step)) is not None
        what, written = (class_name, class_name) if made else (f"{class_name}.process", "process")
        raise SpecFault(
            f"step '{name}' comes after {_quoted(predecessors)}, but {what} takes the rows of one step; join them "
            f"first, for example with CombineOutputs, or write {written}({'' if made else 'self, '}*inputs: StepInput)",
            ("steps", name, "after"),
        )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
