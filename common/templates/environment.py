"""Jinja2's sandbox, with every operation charged to a budget before it runs.

A template is data of a spec: it has no access to Python's own objects, does not change the row, and ends soon. Nothing
is computed while it is read (jinja2 would fold constants), since there is no budget yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from jinja2 import StrictUndefined, Undefined, nodes, pass_context
from jinja2.filters import make_attrgetter, sync_do_join
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, markup_join, str_join
from jinja2.sandbox import MAX_RANGE, ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace
from markupsafe import Markup

from common.cells import kind_of
from common.errors import RowError
from common.templates.budget import Budget, TemplateRefused, TemplateTooLarge
from common.templates.charging import COMPARE, COMPARISONS, CONCAT, EACH, LOOK, MADE, SPEND, Charging
from common.templates.formats import ESCAPED, formatted
from common.templates.growth import FILTERS, before_operator
from common.templates.methods import before_join, before_method, method_of

_COMPARING = {"in": "in", "==": "eq", "eq": "eq", "equalto": "eq", "!=": "ne", "ne": "ne"} | dict.fromkeys(
    (">", "gt", "greaterthan", ">=", "ge", "<", "lt", "lessthan", "<=", "le"), "lt"
)
"""Tests that read both of their operands."""
_LOOKING = ("lower", "upper", "divisibleby", "odd", "even")
_PASSED_BY_JINJA = ("_loop_vars", "_block_vars")
_JINJAS = (Undefined, Macro, LoopContext, BlockReference, Joiner, Cycler)


class _Namespace(Namespace):
    """It may contain itself, so it is not printed."""

    def __repr__(self) -> str:
        return "<namespace>"


def _range(*bounds: int) -> range:
    found = range(*bounds)
    if found[MAX_RANGE:]:
        raise TemplateTooLarge(f"template: range has more than {MAX_RANGE:,} numbers")
    return found


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """One template at a time; call `budget.start` before each rendering.

    Args:
        finalize: turns printed values into text.
    """

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})

    def __init__(self, finalize: Callable[[Any], Any]) -> None:
        budget = Budget()

        @pass_context  # otherwise jinja2 would compute constants while compiling
        def finalized(context: Context, value: Any) -> Any:
            found = finalize(value)
            if context.eval_ctx.autoescape or not isinstance(found, str | int | float):
                budget.room(budget.spelled(found) * ESCAPED)
            return found

        super().__init__(undefined=StrictUndefined, finalize=finalized, optimized=False)
        self.budget = budget
        self.concat = budget.joined  # type: ignore[method-assign]
        del self.globals["lipsum"]  # unbounded, and another text each time
        self.globals |= {"namespace": _Namespace, "range": _range}
        known: dict[str, Any] = self.filters
        tests: dict[str, Any] = self.tests
        own = {"sum": self._sum, "join": self._join}
        self.filters = {name: self._bounded(function, FILTERS.get(name)) for name, function in (known | own).items()}
        self.tests = {name: self._bounded_test(name, test) for name, test in tests.items()}
        self.filters |= {EACH: budget.each, MADE: budget.made, CONCAT: self._concat, SPEND: self._spend}
        self.filters |= {COMPARE: self._compare, LOOK: self._look}

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        return super()._generate(Charging().visit(source), *args, **kwargs)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Charges a step, since filters take any number of attributes: `map(attribute='a.b.c')`."""
        self.budget.steps()
        return super().getitem(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Raises TemplateTooLarge if it would create too much."""
        before_operator(self.budget, operator, left, right)
        return self.budget.made(self.binop_table[operator](left, right))

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Raises TemplateTooLarge if it would create too much, TemplateRefused if it may not be called."""
        budget = self.budget
        budget.steps()
        method = method_of(function)
        if method is not None and not isinstance(method[0], _JINJAS):
            owner, name = method
            given = {key: value for key, value in kwargs.items() if key not in _PASSED_BY_JINJA}
            args = before_method(budget, owner, name, args, given)
            if name == "format":
                return budget.made(formatted(self, budget, owner, args, given))
            if name == "format_map":
                return budget.made(formatted(self, budget, owner, (), *args, **given))
        elif isinstance(function, LoopContext) and args:
            args = (budget.each(args[0], 1), *args[1:])
        elif method is None and not isinstance(function, _JINJAS) and callable(function):
            if not any(function is known for known in self.globals.values()):
                raise TemplateRefused(f"template: {type(function).__name__} may not be called in a template")
            for value in args:
                budget.look(value)
        return budget.made(super().call(context, function, *args, **kwargs))

    def _bounded(self, function: Any, before: Callable[..., Any] | None) -> Callable[..., Any]:
        """A filter that charges its cost and its result."""
        budget = self.budget
        first = 1 if hasattr(function, "jinja_pass_arg") else 0

        @wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            budget.steps()
            for value in args[first:]:
                if isinstance(value, int):
                    budget.weight(value)
            if before is not None:
                args = (*args[:first], before(budget, *args[first:], **kwargs), *args[first + 1 :])
            return budget.made(function(*args, **kwargs), args)

        return bounded

    def _bounded_test(self, name: str, test: Any) -> Callable[..., Any]:
        first = 1 if hasattr(test, "jinja_pass_arg") else 0

        @wraps(test)
        def bounded(*args: Any) -> Any:
            self.budget.steps()
            if name in _COMPARING and len(args) > 1:
                self._before_comparison(args[0], args[1], _COMPARING[name])
            elif name in _LOOKING:
                for value in args[first:]:
                    self.budget.look(value)
            return test(*args)

        return bounded

    def _before_comparison(self, left: Any, right: Any, kind: str) -> None:
        if isinstance(left, int | float) and isinstance(right, int | float):
            return
        if kind in ("in", "notin"):
            if isinstance(right, Mapping | set | frozenset):
                self.budget.look(left)
            else:
                self.budget.search(right, left)
        elif isinstance(left, str | bytes) and isinstance(right, str | bytes):
            same = kind in ("eq", "ne") and len(left) != len(right)
            self.budget.look(range(0 if same else min(len(left), len(right)) // 50))
        else:
            self.budget.look(min(left, right, key=self.budget.weight))

    def _compare(self, left: Any, right: Any, kind: str) -> Any:
        self._before_comparison(left, right, kind)
        return COMPARISONS[kind](left, right)

    def _look(self, value: Any) -> Any:
        self.budget.look(value)
        return value

    def _spend(self, value: Any, steps: int) -> None:
        self.budget.steps(steps)

    @pass_context
    def _concat(self, context: Context, parts: list[Any]) -> str:
        budget = self.budget
        escaped = context.eval_ctx.autoescape or any(isinstance(part, Markup) for part in parts)
        budget.room(sum(map(budget.spelled, parts)) * (ESCAPED if escaped else 1))
        text: str = budget.made(markup_join(parts) if context.eval_ctx.autoescape else str_join(parts))
        return text

    def _attribute(self, values: Any, attribute: Any) -> Any:
        return values if attribute is None else map(make_attrgetter(self, attribute), values)

    @pass_context
    def _sum(self, context: Context, iterable: Any, attribute: Any = None, start: Any = 0) -> Any:
        """Concatenates lists incrementally; Python's own `sum` copies everything for each list."""
        values = self.budget.listed(self._attribute(iterable, attribute))
        if not isinstance(start, list | tuple):
            return sum(values, start)
        kind = list if isinstance(start, list) else tuple
        found = list(start)
        length = self.budget.weight(start)
        for value in values:
            if not isinstance(value, kind):
                raise RowError(f"template: sum adds {kind_of(value)} to a {kind.__name__}; leave out `start`")
            length += self.budget.weight(value)
            self.budget.room(length)
            found.extend(value)
        return kind(found)

    @pass_context
    def _join(self, context: Context, value: Any, d: Any = "", attribute: Any = None) -> Any:
        parts = self.budget.listed(self._attribute(value, attribute))
        before_join(self.budget, parts, d if isinstance(d, str) else str(d), context.eval_ctx.autoescape)
        return sync_do_join(context.eval_ctx, parts, d)
