"""FilterRows: keeps the rows of which an expression or a function is true."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from common.cells import kind_of
from common.code.import_names import import_name
from common.errors import RowError
from common.naming.registry import resolve_function
from common.steps.base import Row, Step, StepInput, StepOutput
from common.templates.expression import ColumnUnknown, RowExpression

Predicate = Callable[[Row], bool]


class FilterRows(Step):
    """Keeps the rows of which `condition` is true, or for which `function` returns True; leaves the others out.

    The condition is an expression over columns, in Jinja2's sandbox: `score >= 4 and language == 'en'`
    or `text | length > 100`. Its value must be true or false. A row of which it cannot be computed fails, and the error
    names the columns that are missing or None; `on_missing` says otherwise. A column whose name cannot stand in an
    expression gets another one by `input_mappings`.

    The function is one of your own, `module:function`, for what no expression says. It is called with a row and returns
    True or False. It must say the same of the same row each time; its code, with all that it imports, is part of what
    identifies a run. A row for which it raises is retried, and then fails.

    Rows left out are no failed rows: they are those of the step's rows in that are neither rows out nor failed.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)
    function_fields: ClassVar[tuple[str, ...]] = ("function",)

    condition: str | None = Field(default=None, min_length=1, description="True of the rows to keep.")
    function: str | None = Field(
        default=None, description="Returns True for the rows to keep: module:function. In Python also the function."
    )
    on_missing: Literal["fail", "drop", "keep"] = Field(
        default="fail",
        description="For a row of which the condition cannot be computed because a column is missing or None.",
    )

    _expression: RowExpression | None = PrivateAttr(default=None)
    _predicate: Predicate | None = PrivateAttr(default=None)

    @field_validator("condition")
    @classmethod
    def _is_an_expression(cls, condition: str | None) -> str | None:
        if condition is not None:
            RowExpression(condition)
        return condition

    @field_validator("function", mode="before")
    @classmethod
    def _is_a_predicate(cls, function: Any, info: ValidationInfo) -> Any:
        """The name of a function that can be called with a row."""
        name = import_name(function) if inspect.isfunction(function) else function
        if isinstance(name, str):
            if ":" not in name:
                raise ValueError(f"'{name}' is not the name of a function; write module:function")
            _check(name, resolve_function(name, _allowed(info.context)))
        elif callable(name):
            raise ValueError(f"{name!r} is not a function: write 'def keep(row)' at the top level of a module")
        return name

    @model_validator(mode="after")
    def _has_one_of_both(self) -> Self:
        if (self.condition is None) == (self.function is None):
            raise ValueError(
                "it needs a condition, such as 'score >= 4', or a function, such as 'mysteps:keep'"
                if self.condition is None
                else "it has a condition and a function; keep one of them, or put the other one into a step after it"
            )
        if self.function is not None and self.on_missing != "fail":
            raise ValueError("on_missing is about a condition; the function itself says what becomes of such rows")
        return self

    def model_post_init(self, context: Any) -> None:
        """Compiles the condition, or finds the function."""
        self._expression = None if self.condition is None else RowExpression(self.condition)
        self._predicate = None if self.function is None else resolve_function(self.function, _allowed(context))
        super().model_post_init(context)

    @property
    def inputs(self) -> dict[str, bool]:
        """The columns of the condition; optional if `on_missing` says what becomes of a row without one. Those that a
        function reads are unknown, except for mapped ones."""
        if self._expression is None:
            return dict.fromkeys(self.input_mappings, True)
        return dict.fromkeys(self._expression.columns, self.on_missing == "fail")

    def process(self, inputs: StepInput) -> StepOutput:
        yield [row for row in inputs if self._keeps(row)]

    def _keeps(self, row: Row) -> bool:
        if self._predicate is not None:
            return self._says(self._predicate(row))
        assert self._expression is not None
        try:
            return self._expression.holds(row)
        except ColumnUnknown:
            if self.on_missing == "fail":
                raise
            return self.on_missing == "keep"

    def _says(self, found: object) -> bool:
        """What a function has returned, as a bool; numpy has its own."""
        kind = type(found)
        if kind is bool or (kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_")):
            return bool(found)
        raise RowError(f"{self.function} returned {kind_of(found)}; it must return True or False")


def _allowed(context: Any) -> tuple[str, ...]:
    """The modules that a spec may name; a program may name any."""
    return ("*",) if context is None else tuple(context.get("allow", ()))


def _check(name: str, found: Callable[..., Any]) -> None:
    """Raises ValueError for what cannot be called with a row."""
    function = inspect.unwrap(found)
    if not inspect.isroutine(function) or inspect.iscoroutinefunction(function):
        raise ValueError(f"'{name}' is not a plain function: write 'def {name.rpartition(':')[2]}(row)', not async")
    try:
        inspect.signature(found).bind({})
    except TypeError as error:
        raise ValueError(f"'{name}' is called with a row: write 'def {function.__name__}(row)' ({error})") from None
    except ValueError:  # a function of C that does not tell
        return
