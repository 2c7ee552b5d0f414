"""How much operations of a template make, said to the budget before they are done.

Of most the result is about as large as what they are given. Here are those that pad, fill, repeat or multiply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from common.templates.budget import CONTAINERS, Budget, TemplateTooLarge

MOST_BITS = 100_000
"""Of a whole number: Python takes its time with longer ones."""
WIDEST = 10_000
"""Characters to which a single value may be padded, and digits that it may be given."""
MOST_DIGITS = 400
"""In rounding: beyond the range of a float."""
_WIDTH = re.compile(r"\d{5,}")
_CONVERSION = re.compile(r"%(?:\([^)]*\))?[#0\- +]*(\*|\d+)?(?:\.(\*|\d+))?")


def check_width(width: Any) -> None:
    """Raises TemplateTooLarge for a value that is to be padded to too many characters."""
    if isinstance(width, int) and abs(width) > WIDEST:
        raise TemplateTooLarge(f"template: it pads a value to {_shown(width)} characters; at most {WIDEST:,} are made")


def check_format(value: Any, spec: str) -> None:
    """Of what stands behind the colon in `'{:>10.3f}'`."""
    _check_decimal(value)
    for digits in _WIDTH.findall(spec):
        check_width(int(digits[:10]))


def before_operator(budget: Budget, operator: str, left: Any, right: Any) -> None:
    """Of `+`, `*`, `**` and `%`."""
    budget.steps()
    if isinstance(left, int) and isinstance(right, int):
        _before_arithmetic(operator, left, right)
    elif operator == "*":
        for sequence, times in ((left, right), (right, left)):
            if isinstance(times, int) and isinstance(sequence, str | bytes | list | tuple):
                (budget.text if isinstance(sequence, str | bytes) else budget.steps)(len(sequence) * max(times, 0))
    elif operator == "%" and isinstance(left, str | bytes):
        _before_percent(budget, left, right)
    elif operator == "+":
        budget.made(left)
        budget.made(right)


def _before_arithmetic(operator: str, left: int, right: int) -> None:
    bits = left.bit_length()
    if operator == "**":
        bits = bits * right if bits > 1 else 1
    elif operator == "*":
        bits += right.bit_length()
    if bits > MOST_BITS:
        raise TemplateTooLarge("template: it computes a number of more than 30,000 digits")


def _before_percent(budget: Budget, text: str | bytes, values: Any) -> None:
    given = values if isinstance(values, tuple) else tuple(values.values()) if isinstance(values, dict) else (values,)
    found = text if isinstance(text, str) else text.decode("latin-1")
    for numbers in _CONVERSION.findall(found):
        for number in numbers:
            if number == "*":
                for value in given:
                    check_width(value)
            elif number:
                check_width(int(number[:10]))
            budget.text(int(number) if number.isdigit() else WIDEST if number else 0)
    for value in given:
        _check_decimal(value)
        budget.charge(value)


def before_method(budget: Budget, owner: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Of a method of a builtin type; returns the arguments to call it with."""
    budget.charge(owner)
    if isinstance(owner, Decimal):
        _check_decimal(owner)
    given = [*args, *kwargs.values()]
    match name:
        case "center" | "ljust" | "rjust" | "zfill" | "to_bytes":
            for value in given:
                check_width(value)
        case "expandtabs":
            size = next((value for value in given if isinstance(value, int)), 8)
            check_width(size)
            budget.text(len(owner) * max(size, 1))
        case "replace" if isinstance(owner, str | bytes) and len(args) > 1:
            _before_replace(budget, owner, args[0], args[1])
        case "join" if args:
            parts = budget.listed(args[0])
            _before_join(budget, parts, len(owner))
            return (parts, *args[1:])
        case "translate" if args and isinstance(args[0], Mapping):
            longest = max((len(value) for value in args[0].values() if isinstance(value, str)), default=1)
            budget.text(len(owner) * longest)
    return args


def _before_replace(budget: Budget, text: Any, old: Any, new: Any) -> None:
    if isinstance(text, str | bytes) and type(old) is type(new) and isinstance(new, str | bytes):
        times = text.count(old) if old else len(text) + 1
        budget.text(times * len(new))


def _before_join(budget: Budget, parts: list[Any], separator: int) -> None:
    budget.text(len(parts) * separator)
    for part in parts:
        budget.charge(part)


def _check_decimal(value: Any) -> None:
    """`int` of 1E+999999999 has as many digits."""
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) > WIDEST:
        raise TemplateTooLarge("template: it computes with a decimal of more than 10,000 digits")


def _shown(number: int) -> str:
    return f"{number:,}" if number.bit_length() < 64 else "too many"


# Filters: each is told what the filter is given, and returns the value to be given to it in its place.


def _center(budget: Budget, value: Any, width: Any = 80) -> Any:
    check_width(width)
    return value


def _indent(budget: Budget, value: Any, width: Any = 4, first: Any = False, blank: Any = False) -> Any:
    check_width(width)
    lines = str(value).count("\n") + 2
    budget.text(lines * (len(width) if isinstance(width, str) else max(int(width), 0)))
    return value


def _format(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
    _before_percent(budget, str(value), kwargs or args)
    return value


def _wordwrap(
    budget: Budget, value: Any, width: Any = 79, long: Any = True, wrapstring: Any = None, hyphens: Any = True
) -> Any:
    text = str(value)
    longest = max(map(len, text.split()), default=0)
    # Of a word that is broken, textwrap copies what is left for each piece.
    budget.text(len(text) * len(wrapstring or "\n") + longest * longest // (64 * max(int(width), 1)))
    return value


def _replace(budget: Budget, value: Any, old: Any, new: Any, count: Any = None) -> Any:
    _before_replace(budget, str(value), str(old), str(new))
    return value


def _join(budget: Budget, value: Any, d: Any = "", attribute: Any = None) -> Any:
    parts = budget.listed(value)
    _before_join(budget, parts, len(str(d)))
    return parts


def _parts(budget: Budget, value: Any, number: Any, fill_with: Any = None) -> Any:
    budget.steps(max(int(number), 0))
    return value


def _tojson(budget: Budget, value: Any, indent: Any = None) -> Any:
    if indent is not None:
        check_width(indent * 100 if isinstance(indent, int) else len(indent) * 100)
    return value


def _round(budget: Budget, value: Any, precision: Any = 0, method: Any = "common") -> Any:
    if isinstance(precision, int) and abs(precision) > MOST_DIGITS:
        raise TemplateTooLarge(f"template: it rounds to {_shown(precision)} digits; at most {MOST_DIGITS} are computed")
    _check_decimal(value)
    return value


def _number(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
    _check_decimal(value)
    return value


def _striptags(budget: Budget, value: Any) -> Any:
    text = str(value)
    budget.text(len(text) * text.count("<") // 64)  # all of it is copied for each tag
    return value


def _urlize(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
    added = sum(len(option) for option in [*args, *kwargs.values()] if isinstance(option, str))
    budget.text(str(value).count(".") * (added + 40))
    return value


def _sum(budget: Budget, value: Any, attribute: Any = None, start: Any = 0) -> Any:
    parts = budget.listed(value)
    if isinstance(start, CONTAINERS):  # each sum is a copy of the one before
        budget.steps(len(parts) * sum(len(part) for part in parts if isinstance(part, CONTAINERS)) // 100)
    return parts


FILTERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "batch": _parts,
        "center": _center,
        "format": _format,
        "indent": _indent,
        "int": _number,
        "join": _join,
        "replace": _replace,
        "round": _round,
        "slice": _parts,
        "striptags": _striptags,
        "sum": _sum,
        "tojson": _tojson,
        "urlize": _urlize,
        "wordwrap": _wordwrap,
    }
)
