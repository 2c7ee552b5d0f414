"""The methods that a template may call, by type; every other method is refused by name.

The result of most is about as large as their input. Those that pad, fill, repeat or multiply charge their result
beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from types import BuiltinMethodType, MappingProxyType, MethodType
from typing import Any

from markupsafe import Markup, escape

from common.templates.budget import ITEM, Budget, TemplateRefused, check_decimal, check_width
from common.templates.formats import ESCAPED, MOST_OF_DATE

ENCODINGS = ("utf-8", "utf8", "ascii", "latin-1", "latin1", "utf-16", "utf-32")
"""Methods whose time and size are those of the text."""
ENCODING_ERRORS = ("strict", "ignore", "replace")
_ASCII_SPACES = " \t\n\r\v\f\x1c\x1d\x1e\x1f"
_OTHER_SPACES = (
    "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"

Before = Callable[..., None]
"""Is told of a budget, of the method's owner and of its arguments."""


def method_of(function: Any) -> tuple[Any, str] | None:
    """The owner and the name of a method, even if jinja2 has wrapped it."""
    method = getattr(function, "__wrapped__", function)
    if isinstance(method, BuiltinMethodType | MethodType):
        return method.__self__, method.__name__
    return None


def before_method(budget: Budget, owner: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Returns the arguments to call it with.

    Raises:
        TemplateTooLarge: it would create too much.
        TemplateRefused: a template may not call it.
    """
    allowed = next((methods for kind, methods in METHODS.items() if isinstance(owner, kind)), {})
    if name not in allowed:
        known = ", ".join(sorted(allowed)) or "no methods"
        kind = owner.__name__ if isinstance(owner, type) else type(owner).__name__
        raise TemplateRefused(f"template: {kind}.{name} may not be called in a template; of {kind}, these may: {known}")
    if name == "join" and args:
        args = (budget.listed(args[0]), *args[1:])
    if name not in _GLANCES:
        budget.look(owner)
        for value in (*args, *kwargs.values()):
            budget.look(value)
            if isinstance(value, str | bytes):
                budget.search(owner, value, backwards=name in _BACKWARDS)
    before = allowed[name]
    if before is not None:
        before(budget, owner, *args, **kwargs)
    return args


def before_replace(budget: Budget, text: Any, old: Any = None, new: Any = None, count: Any = -1, /) -> None:
    """Of `text.replace(old, new, count)`."""
    if isinstance(text, str | bytes) and isinstance(old, type(text) | str) and isinstance(new, str | bytes):
        times = text.count(old) if old else len(text) + 1  # type: ignore[arg-type]
        times = min(times, count) if isinstance(count, int) and count >= 0 else times
        added = len(escape(new)) if isinstance(text, Markup) else len(new)
        budget.room(len(text) + times * max(added - len(old), 0))


def before_join(budget: Budget, parts: list[Any], separator: str | bytes, escaped: bool = False) -> None:
    """Of `separator.join(parts)`, where each part is made text first, and perhaps escaped."""
    growth = ESCAPED if escaped else 1
    length = 0
    for part in parts:
        length += (len(separator) + (len(part) if isinstance(part, bytes) else budget.spelled(part))) * growth
        budget.room(length)


def lines_of(text: str | bytes) -> int:
    """The most lines that `text.splitlines` makes."""
    if isinstance(text, bytes):
        return text.count(b"\n") + text.count(b"\r") + 1
    return 1 + sum(text.count(end) for end in LINE_ENDS)


def spaces_of(text: str | bytes) -> int:
    """How many characters of `text` are white space."""
    if isinstance(text, bytes):
        return sum(text.count(space) for space in b" \t\n\r\v\f")
    return sum(text.count(space) for space in (_ASCII_SPACES if text.isascii() else _ASCII_SPACES + _OTHER_SPACES))


def _join(budget: Budget, owner: Any, parts: Any = (), /) -> None:
    before_join(budget, parts, owner, isinstance(owner, Markup))


def _padded(budget: Budget, owner: Any, width: Any = 0, *_: Any, **__: Any) -> None:
    check_width(width)


def _expanded(budget: Budget, owner: Any, tabsize: Any = 8) -> None:
    check_width(tabsize)
    tabs = owner.count("\t" if isinstance(owner, str) else b"\t")
    budget.room(len(owner) + tabs * max(int(tabsize), 0))


def _tripled(budget: Budget, owner: Any, *_: Any, **__: Any) -> None:
    budget.room(3 * len(owner))


def _split(budget: Budget, owner: Any, sep: Any = None, maxsplit: Any = -1, **_: Any) -> None:
    if sep is None:
        parts = spaces_of(owner) + 1
    elif sep and isinstance(sep, str) == isinstance(owner, str):
        parts = owner.count(sep) + 1
    else:
        return
    parts = min(parts, maxsplit + 1) if isinstance(maxsplit, int) and maxsplit >= 0 else parts
    budget.room(len(owner) + parts * ITEM)


def _splitlines(budget: Budget, owner: Any, *_: Any, **__: Any) -> None:
    budget.room(len(owner) + lines_of(owner) * ITEM)


def _translated(budget: Budget, owner: Any, table: Any = None, *_: Any, **__: Any) -> None:
    if isinstance(table, str | bytes) or not isinstance(table, Mapping | list | tuple):
        return
    pairs = table.items() if isinstance(table, Mapping) else enumerate(table)
    length = len(owner)
    for key, value in pairs:
        if isinstance(value, str) and len(value) > 1 and isinstance(key, int) and 0 <= key < 0x110000:
            budget.look(owner)
            length += owner.count(chr(key)) * len(value)
            budget.room(length)


def _encoded(budget: Budget, owner: Any, encoding: Any = "utf-8", errors: Any = "strict") -> None:
    for given, known in ((encoding, ENCODINGS), (errors, ENCODING_ERRORS)):
        if not isinstance(given, str) or given.lower().replace("_", "-") not in known:
            shown = repr(given)[:40]
            raise TemplateRefused(f"template: {shown} may not be used in a template; these may: {', '.join(known)}")
    budget.room(4 * len(owner))


def _united(budget: Budget, owner: Any, *others: Any) -> None:
    budget.room(budget.weight(owner) + sum(budget.weight(other) for other in others))


def before_striptags(budget: Budget, text: str) -> None:
    """Of a `Markup`; older versions copy all of it for each tag."""
    budget.look(text, 10)
    budget.steps(len(text) * text.count("<") // 640_000)


def _decimal(budget: Budget, owner: Decimal, *_: Any, **__: Any) -> None:
    check_decimal(owner)


def _date(budget: Budget, owner: Any, written: Any = "", *_: Any) -> None:
    if isinstance(written, str):
        budget.room(MOST_OF_DATE * len(written))


def _named(names: str, before: Before | None = None) -> dict[str, Before | None]:
    return dict.fromkeys(names.split(), before)


_GLANCES = frozenset(
    ("startswith", "endswith", "get", "keys", "values", "items", "isascii", "bit_length", "format", "format_map")
)
"""Their time does not grow with the owner."""
_BACKWARDS = frozenset(("rfind", "rindex", "rsplit", "rpartition", "strip", "lstrip", "rstrip"))
"""They compare each position of the owner with their whole argument."""

_BOTH = (
    _named(
        "count endswith find index isalnum isalpha isascii isdigit islower isspace istitle isupper lstrip partition "
        "removeprefix removesuffix rfind rindex rpartition rstrip startswith strip"
    )
    | _named("center ljust rjust zfill", _padded)
    | _named("capitalize lower swapcase title upper", _tripled)
    | _named("rsplit split", _split)
    | {
        "expandtabs": _expanded,
        "join": _join,
        "replace": before_replace,
        "splitlines": _splitlines,
        "translate": _translated,
    }
)
_TEXT = (
    _BOTH
    | _named("isdecimal isidentifier isnumeric isprintable")
    | {"casefold": _tripled, "encode": _encoded, "format": None, "format_map": None}
)

METHODS: Mapping[type, Mapping[str, Before | None]] = MappingProxyType(
    {
        Markup: _TEXT | _named("striptags unescape", before_striptags),
        str: _TEXT,
        bytes: _BOTH | {"decode": _encoded, "hex": _tripled},
        list: _named("count index") | {"copy": _united},
        tuple: _named("count index"),
        range: _named("count index"),
        dict: _named("get items keys values") | {"copy": _united},
        set: _named("isdisjoint issubset issuperset") | _named("copy difference intersection union", _united),
        frozenset: _named("isdisjoint issubset issuperset") | _named("copy difference intersection union", _united),
        int: _named("bit_count bit_length conjugate"),
        float: _named("conjugate hex is_integer"),
        Decimal: _named(
            "adjusted copy_abs copy_negate is_finite is_infinite is_nan is_signed is_zero normalize quantize "
            "to_eng_string to_integral_value",
            _decimal,
        ),
        date: _named(
            "astimezone ctime date dst isocalendar isoformat isoweekday replace time timestamp timetuple toordinal "
            "tzname utcoffset weekday"
        )
        | {"strftime": _date},
        time: _named("dst isoformat replace tzname utcoffset") | {"strftime": _date},
        timedelta: _named("total_seconds"),
    }
)
