"""The limits of one rendering of a template: steps, which measure its time, and room, which measures its memory.

Reading a value takes few steps. A created value takes room until the template no longer holds
it; a text that is created, compared and dropped a thousand times takes the room of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from sys import getrefcount
from types import MethodType
from typing import Any

from common.errors import RowError

STEPS = 1_000_000
"""At most a few seconds."""
STRIDE = 10_000
"""Characters read or created in one step."""
TEXT = 20_000_000
"""Characters that may exist at one time."""
ITEM = 50
"""Characters that an item of a list counts as, in addition to its own."""
OWN_TEXT, OWN_STEPS = 50, 0.5
"""A large row may take more: this much per character of the row."""
MOST_BITS = 14_000
"""Digits of a whole number: Python does not print longer ones, and is slow with them."""
WIDEST = 10_000
"""Characters to which a single value may be padded, and digits that it may have."""
DEEPEST = 100
"""Lists in lists."""

CONTAINERS = (list, tuple, dict, set, frozenset)
_VIEWS = (type({}.keys()), type({}.values()), type({}.items()))  # type: ignore[var-annotated]
_INSIDE = (*CONTAINERS, *_VIEWS)
_NOTED = 200
"""Characters from which on a created value is tracked; the limit on steps bounds the number of smaller ones."""
_ALONE = 2
"""References to a value that only the budget holds: its own, and that of the counting call."""


class TemplateTooLarge(RowError):
    """A template creates too much from a row, or takes too long."""


class TemplateRefused(RowError):
    """A template does something forbidden."""


class Budget:
    """The budget of the current rendering; one at a time.

    Every operation whose result or time grows with its input is charged here before it runs.
    """

    __slots__ = ("_extended", "_held", "_limit", "_row", "_sizes", "_steps", "_things")

    def __init__(self) -> None:
        self.start({})

    def start(self, row: Mapping[str, Any]) -> None:
        """Starts a rendering of `row`."""
        self._row = row
        self._steps = STEPS
        self._limit = TEXT
        self._held = 0
        self._things: dict[int, Any] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._extended = False

    def end(self) -> None:
        """Releases the created values."""
        self.start({})

    def steps(self, number: int = 1) -> None:
        """Raises TemplateTooLarge if that is too many."""
        self._steps -= max(number, 0)
        if self._steps < 0:
            self._extend()
            if self._steps < 0:
                raise TemplateTooLarge(
                    f"template: it takes more than {STEPS:,} steps for this row (a step is a turn of a loop, a call, a "
                    f"filter, or {STRIDE:,} characters that one of them reads; an item of a list counts as "
                    f"{ITEM}); loop over less, and move work that is the same in each turn before the loop"
                )

    def look(self, value: Any, slowness: int = 1) -> None:
        """Something goes through all of `value`, `slowness` times as long as a search takes."""
        length = len(value) * ITEM if isinstance(value, range) else self.weight(value)
        self.steps(length * slowness // STRIDE)

    def search(self, text: Any, part: Any, backwards: bool = False) -> None:
        """`text` is searched for `part`; from its end, Python compares each place with all of it."""
        if isinstance(text, str | bytes) and isinstance(part, str | bytes):
            self.steps(len(text) * (len(part) if backwards else min(len(part), 3)) // STRIDE)
        else:
            self.look(text)

    def room(self, length: int) -> None:
        """Raises TemplateTooLarge if there is no room for these characters, in addition to the values in use."""
        if self._held + length > self._limit:
            self._sweep()
            if self._held + length > self._limit:
                self._extend()
                if self._held + length > self._limit:
                    raise TemplateTooLarge(
                        f"template: it makes more than {TEXT:,} characters of this row at one "
                        f"time (an item of a list counts as {ITEM}); repeat, fill and pad less"
                    )

    def made(self, value: Any, given: Iterable[Any] = ()) -> Any:
        """Charges `value`, created whole by an operation; an iterator over `given` is charged as it advances."""
        if isinstance(value, str | bytes):
            length = len(value)
            if length >= _NOTED:
                self._note(value, length, 0)
                self.steps(length // STRIDE)
        elif isinstance(value, Iterator):
            depth = 1 + max((inner.depth for inner in given if isinstance(inner, _Counted)), default=0)
            if depth > DEEPEST:
                raise TemplateTooLarge(f"template: it nests more than {DEEPEST} filters such as map")
            return _Counted(self, value, 1, depth)
        else:
            self.weight(value)
        return value

    def weight(self, value: Any) -> int:
        """Characters in `value`; a part that occurs several times counts as often.

        Raises:
            TemplateTooLarge: it exceeds the room, is nested too deeply, or is a number that is too long.
        """
        return self._measure(value, 0)[0]

    def depth(self, value: Any) -> int:
        """The nesting depth of lists and mappings in `value`."""
        return self._measure(value, 0)[1]

    def spelled(self, value: Any) -> int:
        """The most characters that `str(value)` makes."""
        if isinstance(value, str):
            return len(value)
        if isinstance(value, int):
            self.weight(value)
            return 8 + value.bit_length() // 3
        return ITEM + 10 * self.weight(value)

    def each(self, value: Any, weight: int) -> Any:
        """`value`, over which a loop runs, with a cost per item."""
        if isinstance(value, (str, bytes, range, *_INSIDE)):
            self.steps(len(value) * weight)
            return value
        return _Counted(self, iter(value), weight)

    def listed(self, values: Iterable[Any]) -> list[Any]:
        """All of an iterable."""
        if isinstance(values, list):
            return values
        found: list[Any] = []
        length = 0
        for value in _Counted(self, iter(values), 1):
            length += ITEM + self.weight(value)
            self.room(length)
            found.append(value)
        self.weight(found)
        return found

    def joined(self, parts: Iterable[str]) -> str:
        """`"".join`, which jinja2 calls for a whole prompt and for the results of macros and blocks."""
        found = []
        length = 0
        for part in parts:
            length += len(part)
            self.room(length)
            found.append(part)
        text: str = self.made("".join(found))
        return text

    def _measure(self, value: Any, outside: int) -> tuple[int, int]:
        """Weight and depth. Containers in a template never change, so each is measured once."""
        if isinstance(value, str | bytes):
            return len(value), 0
        if not isinstance(value, _INSIDE):
            if isinstance(value, int):
                if value.bit_length() > MOST_BITS:
                    raise TemplateTooLarge("template: it computes with a number of more than 4,000 digits")
            elif isinstance(value, MethodType):  # printed, it shows what it is a method of
                return self._measure(value.__self__, outside)
            return 0, 0
        known = self._sizes.get(id(value))
        if known is not None:
            return known
        if outside > DEEPEST:
            raise TemplateTooLarge(f"template: it nests more than {DEEPEST} lists in lists")
        length = deep = 0
        for inner in _items(value):
            if isinstance(inner, str):
                length += len(inner)
                continue
            more, below = self._measure(inner, outside + 1)
            length += more
            deep = max(deep, below)
        length += ITEM * len(value)
        deep += 1
        if outside + deep > DEEPEST:
            raise TemplateTooLarge(f"template: it nests more than {DEEPEST} lists in lists")
        if length >= _NOTED:
            self._note(value, length, deep)
            self.steps(len(value) * ITEM // STRIDE)
        return length, deep

    def _note(self, value: Any, length: int, depth: int) -> None:
        if id(value) not in self._things:
            self.room(length)
            self._things[id(value)] = value
            self._sizes[id(value)] = length, depth
            self._held += length

    def _sweep(self) -> None:
        """Forgets values that the template no longer holds, lists before their items."""
        self.steps(len(self._things) * ITEM // STRIDE)
        for key in reversed(list(self._things)):
            if getrefcount(self._things[key]) == _ALONE:
                del self._things[key]
                self._held -= self._sizes.pop(key)[0]

    def _extend(self) -> None:
        if not self._extended:
            self._extended = True
            own = _length(self._row)
            self._steps += int(own * OWN_STEPS)
            self._limit += own * OWN_TEXT


class _Counted:
    """An iterator whose items take steps; `depth` is the number of such iterators that it wraps."""

    __slots__ = ("_budget", "_values", "_weight", "depth")

    def __init__(self, budget: Budget, values: Iterator[Any], weight: int, depth: int = 1) -> None:
        self._budget = budget
        self._values = values
        self._weight = weight
        self.depth = depth

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        found = next(self._values)
        self._budget.steps(self._weight)
        return found


def check_decimal(value: Any) -> None:
    """`int` of 1E+999999999 has as many digits."""
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) > WIDEST:
        raise TemplateTooLarge("template: it computes with a decimal of more than 10,000 digits")


def check_width(width: Any) -> None:
    """Raises TemplateTooLarge for padding a value to too many characters."""
    if isinstance(width, int) and abs(width) > WIDEST:
        shown = f"{width:,}" if width.bit_length() < 64 else "too many"
        raise TemplateTooLarge(f"template: it pads a value to {shown} characters; at most {WIDEST:,} are allowed")


def _items(value: Any) -> Iterable[Any]:
    return (inner for pair in value.items() for inner in pair) if isinstance(value, dict) else value


def _length(row: Mapping[str, Any]) -> int:
    """Characters of a row, as a weight; without recursion."""
    length = 0
    waiting: list[Any] = [row]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str | bytes):
            length += len(value)
        elif isinstance(value, CONTAINERS):
            length += ITEM * len(value)
            waiting.extend(_items(value))
    return length
