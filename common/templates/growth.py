"""The growth of operators and filters, charged to the budget beforehand.

The result of most filters is no larger than their input, and is counted afterwards. Here are those that pad, fill,
repeat, multiply or escape, and those that take longer than one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from markupsafe import Markup

from common.errors import RowError
from common.templates.budget import (
    ITEM,
    MOST_BITS,
    Budget,
    TemplateTooLarge,
    check_decimal,
    check_width,
)
from common.templates.formats import ESCAPED, before_percent
from common.templates.methods import before_replace, before_striptags, lines_of

MOST_DIGITS = 400
"""In rounding: beyond the range of a float."""


def before_operator(budget: Budget, operator: str, left: Any, right: Any) -> None:
    """Of the arithmetic ones."""
    budget.steps()
    if isinstance(left, int) and isinstance(right, int):
        _before_arithmetic(budget, operator, left, right)
    elif operator == "*":
        for repeated, times in ((left, right), (right, left)):
            if isinstance(times, int) and isinstance(repeated, str | bytes | list | tuple):
                budget.room(budget.weight(repeated) * max(times, 0))
    elif operator == "%" and isinstance(left, str | bytes):
        before_percent(budget, left, right)
    elif operator == "+":
        # If one text is marked safe, the other one is escaped.
        growth = ESCAPED if isinstance(left, Markup) or isinstance(right, Markup) else 1
        budget.room((budget.weight(left) + budget.weight(right)) * growth)


def _before_arithmetic(budget: Budget, operator: str, left: int, right: int) -> None:
    budget.weight(left)
    budget.weight(right)
    bits = left.bit_length()
    budget.steps(bits * right.bit_length() // 10_000_000)
    if operator == "**":
        bits = bits * right if bits > 1 else 1
    elif operator == "*":
        bits += right.bit_length()
    if bits > MOST_BITS:
        raise TemplateTooLarge("template: it computes a number of more than 4,000 digits")


# Filters: each gets the filter's input, and returns the value to pass instead.


def _attributes(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
    """A path such as `a.b.c` is split."""
    for given in (*args, *kwargs.values()):
        if isinstance(given, str):
            budget.room(ITEM * (given.count(".") + given.count(",")))
    return value


def _looks(slowness: int = 1) -> Callable[..., Any]:
    def looks(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
        budget.look(value, slowness)
        return value

    return looks


def _spells(growth: int, slowness: int = 1) -> Callable[..., Any]:
    """A text of the value, and of that another one."""

    def spells(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
        budget.look(value, slowness)
        budget.room(budget.spelled(value) * growth)
        return value

    return spells


def _lists(slowness: int = 1) -> Callable[..., Any]:
    """All items are kept, even of an iterator, possibly with a key each."""

    def lists(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
        _attributes(budget, value, *args, **kwargs)
        found: Any = value
        if isinstance(value, Mapping | str | bytes):
            budget.room(ITEM * len(value))
        else:
            found = budget.listed(value)
        budget.room(budget.weight(found))
        budget.look(found, slowness)
        return found

    return lists


def _center(budget: Budget, value: Any, width: Any = 80) -> Any:
    check_width(width)
    budget.room(budget.spelled(value))
    return value


def _indent(budget: Budget, value: Any, width: Any = 4, first: Any = False, blank: Any = False) -> Any:
    if not isinstance(value, str):  # jinja2 would append to a list of the row
        raise RowError(f"template: indent takes text, but got a value of type {type(value).__name__}")
    check_width(width)
    each = len(width) if isinstance(width, str) else max(int(width), 0)
    budget.room(len(value) + (lines_of(value) + 1) * (each + ITEM))
    return value


def _format(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
    budget.room(budget.spelled(value))
    before_percent(budget, value if isinstance(value, str) else str(value), kwargs or args)
    return value


def _wordwrap(
    budget: Budget, value: Any, width: Any = 79, long: Any = True, wrapstring: Any = None, hyphens: Any = True
) -> Any:
    if isinstance(value, str):
        wide = max(int(width), 1)
        budget.look(value, 200)
        longest = max(map(len, value.split()), default=0)
        # For each piece of a broken word, textwrap copies the rest.
        budget.look(range(longest * longest // (wide * ITEM * 4)))
        lines = lines_of(value) + 1 + 2 * len(value) // wide
        budget.room(len(value) + lines * (len(wrapstring or "\n") + ITEM))
    return value


def _trim(budget: Budget, value: Any, chars: Any = None) -> Any:
    budget.look(value)
    if isinstance(chars, str):
        budget.search(value, chars, backwards=True)
    budget.room(budget.spelled(value))
    return value


def _replace(budget: Budget, value: Any, old: Any, new: Any, count: Any = None) -> Any:
    budget.search(value, old)
    for given in (value, old, new):
        budget.room(budget.spelled(given) * ESCAPED)
    text, old, new = (given if isinstance(given, str) else str(given) for given in (value, old, new))
    marked = any(isinstance(given, Markup) for given in (text, old, new))
    before_replace(budget, Markup(text) if marked else text, old, new, count if count is not None else -1)
    return value


def _fill(budget: Budget, value: Any, number: Any, fill_with: Any = None) -> Any:
    if fill_with is not None:
        budget.room(int(number) * (ITEM + budget.weight(fill_with)))
    return value


def _slice(budget: Budget, value: Any, slices: Any, fill_with: Any = None) -> Any:
    budget.room(int(slices) * ITEM)
    return budget.listed(value)


def _tojson(budget: Budget, value: Any, indent: Any = None) -> Any:
    budget.look(value, 5)
    weight = budget.weight(value)
    length = weight * 12  # "\ud83d\ude00"
    if indent is not None:
        each = len(indent) if isinstance(indent, str) else int(indent)
        check_width(each * 100)
        length += weight // ITEM * 2 * each * budget.depth(value)
    budget.room(length)
    return value


def _pprint(budget: Budget, value: Any) -> Any:
    budget.look(value, 300)
    budget.room(budget.spelled(value) * (10 + budget.depth(value)))
    return value


def _round(budget: Budget, value: Any, precision: Any = 0, method: Any = "common") -> Any:
    if isinstance(precision, int) and abs(precision) > MOST_DIGITS:
        raise TemplateTooLarge(f"template: it rounds to more than {MOST_DIGITS} digits")
    return _number(budget, value)


def _number(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
    check_decimal(value)
    budget.look(value)
    return value


def _striptags(budget: Budget, value: Any) -> Any:
    budget.room(budget.spelled(value))
    before_striptags(budget, value if isinstance(value, str) else str(value))
    return value


def _urlize(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
    budget.look(value, 100)
    budget.room(budget.spelled(value) * 2 * ESCAPED)
    if isinstance(value, str):
        added = sum(len(option) for option in [*args, *kwargs.values()] if isinstance(option, str))
        budget.room((value.count(".") + value.count("@") + value.count(":")) * (added * ESCAPED + 60))
        longest = max(map(len, value.split()), default=0)
        budget.look(range(longest * longest // (ITEM * 10)))  # closing brackets are moved one by one
    return value


FILTERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "batch": _fill,
        "capitalize": _spells(3),
        "center": _center,
        "dictsort": _lists(20),
        "e": _spells(ESCAPED),
        "escape": _spells(ESCAPED),
        "float": _number,
        "forceescape": _spells(ESCAPED),
        "format": _format,
        "groupby": _lists(20),
        "indent": _indent,
        "int": _number,
        "list": _lists(),
        "lower": _spells(3),
        "map": _attributes,
        "max": _lists(),
        "min": _lists(),
        "pprint": _pprint,
        "reject": _attributes,
        "rejectattr": _attributes,
        "replace": _replace,
        "reverse": _looks(),
        "round": _round,
        "safe": _spells(1),
        "select": _attributes,
        "selectattr": _attributes,
        "slice": _slice,
        "sort": _lists(20),
        "string": _spells(1),
        "striptags": _striptags,
        "title": _spells(3, 20),
        "tojson": _tojson,
        "trim": _trim,
        "unique": _lists(),
        "upper": _spells(3),
        "urlencode": _spells(12, 20),
        "urlize": _urlize,
        "wordcount": _spells(1, 20),
        "wordwrap": _wordwrap,
        "xmlattr": _spells(ESCAPED, 5),
    }
)
