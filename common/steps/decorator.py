"""`@step`: a step made from a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from types import MappingProxyType, SimpleNamespace
from typing import Any, Literal, NoReturn, get_type_hints, overload

from pydantic import Field
from pydantic.fields import FieldInfo

from common.errors import UsageError
from common.parameters.runtime_parameters import RuntimeParameterMarker, parts
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, GlobalStep, Row, Step, StepColumns
from common.steps.process_signature import takes_rows
from common.words.faults import hint

StepType = Literal["normal", "global", "generator", "async"]
Function = Callable[..., Any]

_KINDS: Mapping[str, type[BaseStep]] = MappingProxyType(
    {"normal": Step, "global": GlobalStep, "generator": GeneratorStep, "async": AsyncStep}
)


@overload
def step(
    *, outputs: StepColumns | None = None, step_type: Literal["generator"]
) -> Callable[[Function], type[GeneratorStep]]: ...
@overload
def step(
    inputs: StepColumns | None = None, outputs: StepColumns | None = None, step_type: Literal["normal"] = "normal"
) -> Callable[[Function], type[Step]]: ...
@overload
def step(
    inputs: StepColumns | None = None, outputs: StepColumns | None = None, *, step_type: Literal["global"]
) -> Callable[[Function], type[GlobalStep]]: ...
@overload
def step(
    inputs: StepColumns | None = None, outputs: StepColumns | None = None, *, step_type: Literal["async"]
) -> Callable[[Function], type[AsyncStep]]: ...
def step(inputs: Any = None, outputs: Any = None, step_type: str = "normal") -> Callable[[Function], Any]:
    """Makes a step class from a function; the class has the function's name, module and docstring.

    The function is the step's `process`, without `self`. Arguments annotated `RuntimeParameter[...]` are parameters of
    the step. Its other arguments depend on `step_type`:

    - `normal`, `global`: the rows, as an argument annotated `StepInput`, or `*inputs: StepInput` for the rows of
      several predecessors; it yields lists of rows;
    - `generator`: `offset`, the row to start at; it yields `(rows, last)`;
    - `async`: the row; an `async def` that returns a row, a list of rows or None.

    Args:
        inputs: columns that it reads: a list of names, or name -> whether it is required.
        outputs: columns that it adds.

    Raises:
        UsageError: the function does not fit the step type.

    Example:
        >>> @step(inputs=["text"], outputs=["length"])
        ... def Measure(inputs: StepInput, unit: RuntimeParameter[int] = 1) -> StepOutput:
        ...     yield [{**row, "length": len(row["text"]) // unit} for row in inputs]
    """
    if callable(inputs):
        raise UsageError(f"@step needs parentheses: write @step() above '{inputs.__name__}'")
    if step_type not in _KINDS:
        raise UsageError(f"@step: there is no step type {step_type!r}{hint(str(step_type), _KINDS, 'the types are')}")
    if step_type == "generator" and inputs:
        raise UsageError("@step: a generator step takes no rows, so it has no inputs; declare its columns with outputs")

    def make(function: Function) -> type[BaseStep]:
        return _make_class(function, _KINDS[step_type], inputs or [], outputs or [])

    return make


def function_of(cls: type[BaseStep]) -> Function | None:
    """The function that a step class was made from; None for a step written as a class."""
    function: Function | None = getattr(cls, "_function", None)
    return function


def _make_class(function: Function, base: type[BaseStep], inputs: StepColumns, outputs: StepColumns) -> type[BaseStep]:
    parameters = function_parameters(function)
    settable = {name: each for name, each in parameters.items() if is_settable(each)}
    taken = [each for name, each in parameters.items() if name not in settable]
    _check_kind(function, base)
    for each in settable.values():
        check_settable(function, base, each)
    rows = _the_rows(function, base, taken)
    namespace: dict[str, Any] = {
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": inspect.getdoc(function) or f"Made from the function `{function.__name__}`.",
        "__annotations__": {name: each.annotation for name, each in settable.items()},
        "_function": staticmethod(function),
        "inputs": property(lambda self: inputs),
        "outputs": property(lambda self: outputs),
        **{name: field_of(each) for name, each in settable.items()},
        **_methods(function, base, rows, tuple(settable)),
    }
    metaclass: Any = type(base)
    made: type[BaseStep] = metaclass(function.__name__, (base,), namespace)
    return made


def _methods(function: Function, base: type[BaseStep], rows: Parameter, settable: Sequence[str]) -> dict[str, Function]:
    def call(step: BaseStep, *given: Any) -> Any:
        values = {name: getattr(step, name) for name in settable}
        if rows.kind in (Parameter.VAR_POSITIONAL, Parameter.POSITIONAL_ONLY):
            return function(*given, **values)
        return function(**{rows.name: given[0]}, **values)

    if base is AsyncStep:

        async def process_row(self: AsyncStep, row: Row) -> Any:
            return await call(self, row)

        return {"process_row": process_row}
    if base is GeneratorStep:

        def generate(self: GeneratorStep, offset: int = 0) -> Any:
            return call(self, offset)

        return {"process": _named(generate, function, {"offset": rows})}

    def process(self: Step, *inputs: Any) -> Any:
        return call(self, *inputs)

    return {"process": _named(process, function, {rows.name: rows})}


def _named(method: Function, function: Function, parameters: Mapping[str, Parameter]) -> Function:
    """Checks of steps inspect the signature of `process`: it has the function's argument that takes the rows."""
    own = Parameter("self", Parameter.POSITIONAL_ONLY)
    method.__signature__ = inspect.Signature([own, *parameters.values()])  # type: ignore[attr-defined]
    method.__annotations__ = {name: each.annotation for name, each in parameters.items()}
    method.__name__, method.__qualname__ = "process", f"{function.__qualname__}.process"
    return method


def function_parameters(function: Function, decorator: str = "@step") -> dict[str, Parameter]:
    """The arguments with their annotations resolved; the return annotation may exist for type checkers only."""
    written = {name: each for name, each in function.__annotations__.items() if name != "return"}
    try:
        hints = get_type_hints(
            SimpleNamespace(__annotations__=written), globalns=function.__globals__, include_extras=True
        )
    except Exception as error:
        refuse(
            function,
            f"an annotation cannot be read ({error}); import what it names at run time, not under TYPE_CHECKING",
            decorator,
        )
    return {
        name: each.replace(annotation=hints.get(name, Any))
        for name, each in inspect.signature(function).parameters.items()
    }


def _check_kind(function: Function, base: type[BaseStep]) -> None:
    if inspect.isasyncgenfunction(function):
        refuse(function, "it is an asynchronous generator; an asynchronous step returns the result of one row")
    if inspect.iscoroutinefunction(function) and base is not AsyncStep:
        refuse(function, 'an asynchronous function takes one row at a time: @step(..., step_type="async")')
    if base is AsyncStep and not inspect.iscoroutinefunction(function):
        refuse(function, f"write an asynchronous step as 'async def {function.__name__}(row)'")


def check_settable(function: Function, base: type[BaseStep], parameter: Parameter, decorator: str = "@step") -> None:
    """Checks an argument that becomes a parameter of the step. Raises UsageError: it cannot."""
    name = parameter.name
    if parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
        refuse(function, f"the runtime parameter '{name}' must be an argument that can be passed by name", decorator)
    if name in base.model_fields:
        refuse(function, f"every {base.__name__} already has a parameter '{name}'; rename this one", decorator)
    if name.startswith("_") or hasattr(base, name):
        refuse(function, f"a runtime parameter cannot be called '{name}'", decorator)


def _the_rows(function: Function, base: type[BaseStep], taken: Sequence[Parameter]) -> Parameter:
    """The one argument that is not a runtime parameter: the rows, the row, or the offset."""
    rows = [each for each in taken if takes_rows(each)]
    if base is GeneratorStep:
        if rows:
            refuse(function, f"a generator step takes no rows, but '{rows[0].name}' is a StepInput; remove it")
        rows = [each for each in taken if each.name == "offset"]
        missing = f"a generator step must be able to restart at any row: def {function.__name__}(offset: int = 0)"
    elif base is AsyncStep:
        if rows:
            refuse(function, f"an asynchronous step takes one row, but '{rows[0].name}' is a StepInput; write row: Row")
        rows = [each for each in taken if each.default is Parameter.empty][:1]
        missing = f"it has no argument for the row: async def {function.__name__}(row)"
    else:
        missing = f"no argument has the type StepInput for the rows: def {function.__name__}(inputs: StepInput)"
    if not rows:
        refuse(function, missing)
    if len(rows) > 1:
        refuse(
            function,
            f"several arguments have the type StepInput ({', '.join(each.name for each in rows)}); each takes the rows "
            "of one predecessor; for several predecessors write *inputs: StepInput",
        )
    for each in taken:
        if each is not rows[0]:
            wide = each.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
            how = "remove it" if wide else f"annotate a parameter of the step with RuntimeParameter[...]: {each.name}"
            refuse(function, f"the argument '{each.name}' would get no value; {how}")
    return rows[0]


def is_settable(parameter: Parameter) -> bool:
    """Whether an argument is annotated as a runtime parameter."""
    marks = [mark for part in parts(parameter.annotation) for mark in getattr(part, "__metadata__", ())]
    return any(isinstance(mark, RuntimeParameterMarker) for mark in marks)


def field_of(parameter: Parameter) -> FieldInfo:
    """The field of a step for an argument that is a runtime parameter."""
    if isinstance(parameter.default, FieldInfo):
        return parameter.default
    made: FieldInfo = Field() if parameter.default is Parameter.empty else Field(default=parameter.default)
    return made


def refuse(function: Function, problem: str, decorator: str = "@step") -> NoReturn:
    """Raises UsageError: the decorator cannot make a class of the function."""
    code = inspect.unwrap(function).__code__
    raise UsageError(
        f"{decorator} cannot turn '{function.__name__}' into a {decorator[1:]} ({code.co_filename}:"
        f"{code.co_firstlineno}): {problem}"
    )
