"""Jinja2's sandbox, in which every operation is charged to a budget before it is done.

A template is data of a spec: it gets no way to Python's own objects, changes nothing of the row, and ends soon. Nothing
of it is computed while it is read (constants, which jinja2 would fold), since then there is no budget yet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import BuiltinMethodType
from typing import Any

from jinja2 import StrictUndefined, nodes, pass_context
from jinja2.runtime import Context, LoopContext, markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.visitor import NodeTransformer
from markupsafe import EscapeFormatter, Markup

from common.templates.budget import Budget
from common.templates.growth import FILTERS, before_method, before_operator, check_format

_EACH, _WEIGHED, _CONCAT, _SPEND = "(each)", "(weighed)", "(concat)", "(spend)"
"""Filters that are put into a template after it is parsed."""


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """One template at a time; `budget.start` comes before each rendering.

    Args:
        finalize: makes text of what is printed.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, finalize: Callable[[Any], Any]) -> None:
        @pass_context  # without which jinja2 would compute constants while it compiles
        def finalized(_: Context, value: Any) -> Any:
            return finalize(value)

        super().__init__(undefined=StrictUndefined, finalize=finalized, optimized=False)
        self.budget = budget = Budget()
        self.concat = budget.joined  # type: ignore[method-assign]
        del self.globals["lipsum"]  # as long as one likes, and another text each time
        known: dict[str, Any] = self.filters
        self.filters = {name: self._bounded(function, FILTERS.get(name)) for name, function in known.items()}
        self.tests = {name: self._bounded(test, None) for name, test in self.tests.items()}
        self.filters |= {_EACH: budget.each, _WEIGHED: self._weighed, _CONCAT: self._concat, _SPEND: self._spend}

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        return super()._generate(_Charging().visit(source), *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Raises TemplateTooLarge where it would make too much."""
        before_operator(self.budget, operator, left, right)
        return self.budget.made(self.binop_table[operator](left, right))

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Raises TemplateTooLarge where it would make too much."""
        budget = self.budget
        budget.steps()
        for value in args:
            budget.charge(value)
        for value in kwargs.values():
            budget.charge(value)
        method = getattr(function, "__wrapped__", function)  # jinja2 wraps str.format
        if isinstance(method, BuiltinMethodType) and _is_format(method):
            return budget.made(_formatted(self, method, args, kwargs))
        if isinstance(function, BuiltinMethodType):
            args = before_method(budget, function.__self__, function.__name__, args, kwargs)
        elif isinstance(function, LoopContext) and args:
            args = (budget.each(args[0], 1), *args[1:])
        return budget.made(super().call(context, function, *args, **kwargs))

    def _bounded(self, function: Any, before: Callable[..., Any] | None) -> Callable[..., Any]:
        """A filter or a test that charges what it is given and what it makes."""
        budget = self.budget
        first = 1 if hasattr(function, "jinja_pass_arg") else 0

        @wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            budget.steps()
            for value in args[first:]:
                budget.charge(value)
            for value in kwargs.values():
                budget.charge(value)
            if before is not None:
                args = (*args[:first], before(budget, *args[first:], **kwargs), *args[first + 1 :])
            return budget.made(function(*args, **kwargs))

        return bounded

    def _weighed(self, value: Any) -> Any:
        self.budget.charge(value)
        return value

    def _spend(self, value: Any, steps: int) -> None:
        self.budget.steps(steps)

    @pass_context
    def _concat(self, context: Context, parts: list[Any]) -> str:
        for part in parts:
            self.budget.charge(part)
        return markup_join(parts) if context.eval_ctx.autoescape else str_join(parts)


class _BoundedFormatter(SandboxedFormatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        """Raises TemplateTooLarge."""
        check_format(value, format_spec)
        return str(super().format_field(value, format_spec))


class _BoundedEscapeFormatter(_BoundedFormatter, EscapeFormatter):
    pass


def _is_format(method: BuiltinMethodType) -> bool:
    return isinstance(method.__self__, str) and method.__name__ in ("format", "format_map")


def _formatted(
    environment: BoundedEnvironment, method: BuiltinMethodType, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> str:
    """`'...'.format(...)`."""
    text: Any = method.__self__
    for option in ("_loop_vars", "_block_vars"):  # jinja2's own
        kwargs.pop(option, None)
    values, named = (args, kwargs) if method.__name__ == "format" else ((), args[0])
    formatter = (
        _BoundedEscapeFormatter(environment, escape=text.escape)
        if isinstance(text, Markup)
        else _BoundedFormatter(environment)
    )
    made: str = type(text)(formatter.vformat(text, values, named))
    return made


class _Charging(NodeTransformer):
    """Puts the charges into a template that jinja2's own hooks do not reach: loops, macros, `~`, `in` and slices."""

    def visit_For(self, node: nodes.For) -> Any:
        """Each item costs what the body has to do."""
        self.generic_visit(node)
        node.iter = _call(_EACH, node.iter, nodes.Const(_size(node.body)))
        return node

    def visit_Macro(self, node: nodes.Macro) -> Any:
        """So does each call of a macro."""
        return self._spending(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> Any:
        """The body is a macro, too."""
        return self._spending(node)

    def visit_Block(self, node: nodes.Block) -> Any:
        """It may be printed again, as `self.name()`."""
        return self._spending(node)

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> Any:
        """`{% set x %}...{% endset %}`."""
        self.generic_visit(node)
        if node.filter is None:
            node.filter = nodes.Filter(None, _WEIGHED, [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> Any:
        """`a ~ b`."""
        self.generic_visit(node)
        return _call(_CONCAT, nodes.List(node.nodes, lineno=node.lineno))

    def visit_Getitem(self, node: nodes.Getitem) -> Any:
        """A slice is a copy."""
        self.generic_visit(node)
        return _call(_WEIGHED, node) if isinstance(node.arg, nodes.Slice) else node

    def visit_Compare(self, node: nodes.Compare) -> Any:
        """`a in b`, `a == b`."""
        self.generic_visit(node)
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            operand.expr = _weighed(operand.expr)
        return node

    def _spending(self, node: Any) -> Any:
        size = nodes.Const(_size(node.body))
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_call(_SPEND, nodes.Const(None), size), lineno=node.lineno))
        return node


def _weighed(node: nodes.Expr) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else _call(_WEIGHED, node)


def _call(name: str, node: Any, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _size(body: list[nodes.Node]) -> int:
    """Steps that a body takes, without what its loops repeat."""
    return 1 + sum(1 for node in body for _ in node.find_all(nodes.Expr)) // 4
