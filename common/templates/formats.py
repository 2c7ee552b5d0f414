"""The size of `'%5.1f' % x` and `'{:>5}'.format(x)`, charged to the budget beforehand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jinja2.environment import Environment
from jinja2.sandbox import SandboxedFormatter
from markupsafe import EscapeFormatter, Markup

from common.templates.budget import Budget, TemplateRefused, check_decimal, check_width

_CONVERSION = re.compile(
    r"%(?:\((?P<name>[^()]*)\)|(?P<nested>\())?[#0\- +]*(?P<width>\*|\d+)?"
    r"(?:\.(?P<precision>\*|\d*))?[hlL]?(?P<kind>.)",
    re.DOTALL,
)
_SPEC = re.compile(r"(?:.?[<>=^])?[ +\-]?z?#?0?(?P<width>\d+)?[,_]?(?:\.(?P<precision>\d+))?[,_]?.?", re.DOTALL)
_LONG_NUMBER = re.compile(r"\d{5,}")
_TEXTS = frozenset("srab")
ESCAPED = 6
"""Most characters that one character becomes in HTML."""
MOST_OF_DATE = 256
"""Most characters that `strftime` makes from one of its format."""
_WRITTEN = 10
"""Most characters that one character becomes in a Python literal."""


def before_percent(budget: Budget, text: str | bytes, values: Any) -> None:
    """Of `text % values`."""
    escaped = ESCAPED if isinstance(text, Markup) else 1
    template = text if isinstance(text, str) else text.decode("latin-1")
    named: Mapping[Any, Any] = values if isinstance(values, dict) else {}
    given = iter(values if isinstance(values, tuple) else (values,))
    budget.look(template, 10)
    length = len(template)
    for found in _CONVERSION.finditer(template):
        if found["nested"]:
            raise TemplateRefused("template: a name in a format has a parenthesis, as in '%(a(b))s'; rename it")
        if found["kind"] == "%":
            continue
        budget.steps()
        width, precision = _number(found["width"], given), _number(found["precision"], given)
        check_width(width)
        value = next(given, None) if found["name"] is None else named.get(found["name"])
        if found["kind"] in _TEXTS:
            size = budget.spelled(value) * (1 if found["kind"] == "s" else _WRITTEN) * escaped
            size = size if precision is None else min(size, precision * escaped)
        else:
            check_width(precision)
            check_decimal(value)
            size = 400 if found["kind"] in "fF" else 32 + (value.bit_length() if isinstance(value, int) else 0)
            size += precision or 0
        length += max(size, abs(width or 0))
        budget.room(length)


def _number(written: str | None, given: Iterator[Any]) -> int | None:
    if written == "*":
        value = next(given, None)
        return value if isinstance(value, int) else None
    if not written:
        return None if written is None else 0
    return _read(written)


def _read(digits: str) -> int:
    """A number too long for Python to read stands for any number that is too large."""
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) < 19 else 10**18


class BoundedFormatter(SandboxedFormatter):
    """`str.format` with a budget; for one call."""

    growth = 1

    def __init__(self, environment: Environment, budget: Budget, **options: Any) -> None:
        super().__init__(environment, **options)
        self._budget = budget
        self._made = 0

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        """Raises TemplateTooLarge."""
        self._budget.steps()
        return super().get_field(field_name, args, kwargs)

    def convert_field(self, value: Any, conversion: Any) -> Any:
        """Raises TemplateTooLarge."""
        if conversion:
            self._budget.room(self._made + self._budget.spelled(value) * (1 if conversion == "s" else _WRITTEN))
        return super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> str:
        """Raises TemplateTooLarge."""
        _check_spec(self._budget, value, format_spec)
        self._budget.room(self._made + len(format_spec) + self._budget.spelled(value) * self.growth)
        made = str(super().format_field(value, format_spec))
        self._made += len(made)
        self._budget.room(self._made)
        return made


class BoundedEscapeFormatter(BoundedFormatter, EscapeFormatter):
    """The same for `Markup`."""

    growth = ESCAPED


def formatted(environment: Environment, budget: Budget, text: str, args: Any, kwargs: Mapping[str, Any]) -> str:
    """`text.format(*args, **kwargs)`."""
    budget.look(text, 10)
    formatter = (
        BoundedEscapeFormatter(environment, budget, escape=text.escape)
        if isinstance(text, Markup)
        else BoundedFormatter(environment, budget)
    )
    budget.room(len(text))
    return type(text)(formatter.vformat(text, args, kwargs))


def _check_spec(budget: Budget, value: Any, spec: str) -> None:
    """Of what stands behind the colon in `'{:>10.3f}'`."""
    check_decimal(value)
    found = _SPEC.fullmatch(spec)
    if found is None:  # that of a date
        budget.room(len(spec) * MOST_OF_DATE)
        for digits in _LONG_NUMBER.findall(spec):
            check_width(_read(digits))
        return
    check_width(_read(found["width"] or ""))
    if not isinstance(value, str):
        check_width(_read(found["precision"] or ""))
