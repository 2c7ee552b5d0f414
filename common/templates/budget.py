"""What one rendering of a template may take: steps (of loops, calls, filters) and characters that it makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from common.errors import RowError

STEPS = 1_000_000
"""Some seconds at the very most."""
TEXT = 20_000_000
"""Characters, those of what is made on the way included."""
PER_VALUE = 20
"""A row that is itself large may take more: so many steps for each value in it, and characters for each of its own."""
CONTAINERS = (list, tuple, dict, set, frozenset)
_SIZED = (str, bytes, range, *CONTAINERS)


class TemplateTooLarge(RowError):
    """A template makes too much of a row, or takes too long."""


class Budget:
    """Of the rendering that goes on now; one at a time.

    Every operation whose result or time grows with what it is given says so here before it is done.
    """

    __slots__ = ("_extended", "_row", "_steps", "_text")

    def __init__(self) -> None:
        self.start({})

    def start(self, row: Mapping[str, Any]) -> None:
        """Begins a rendering of `row`."""
        self._row = row
        self._steps = STEPS
        self._text = TEXT
        self._extended = False

    def steps(self, number: int = 1) -> None:
        """Raises TemplateTooLarge where that is too many."""
        self._steps -= max(number, 0)
        if self._steps < 0:
            self._extend()
            if self._steps < 0:
                raise TemplateTooLarge(
                    f"template: it takes more than {STEPS:,} steps (loops, calls, filters) for this row; loop over less"
                )

    def text(self, length: int) -> None:
        """Raises TemplateTooLarge where that is too long."""
        self._text -= max(length, 0)
        if self._text < 0:
            self._extend()
            if self._text < 0:
                raise TemplateTooLarge(
                    f"template: it makes more than {TEXT:,} characters of this row; repeat, fill and pad less"
                )

    def charge(self, value: Any) -> None:
        """Something is done with all of `value`."""
        if isinstance(value, str | bytes):
            self.text(len(value))
        elif isinstance(value, CONTAINERS):
            # What a row holds is as large as it is; a list of lists of one list is larger than it looks.
            if all(value is not own for own in self._row.values()):
                self._weigh(value)
            else:
                self.steps(len(value))
        elif isinstance(value, range):
            self.steps(len(value))

    def made(self, value: Any) -> Any:
        """`value`, of which some operation has made all; an iterator is counted as it goes."""
        if isinstance(value, str | bytes):
            self.text(len(value))
        elif isinstance(value, CONTAINERS):
            self.steps(len(value))
        elif isinstance(value, Iterator):
            return self._counted(value, 1)
        return value

    def each(self, value: Any, weight: int) -> Any:
        """`value`, over which a loop goes, with as much to do for each item."""
        if isinstance(value, _SIZED):
            self.steps(len(value) * weight)
            return value
        return self._counted(value, weight)

    def listed(self, values: Iterable[Any]) -> list[Any]:
        """All of an iterable."""
        return values if isinstance(values, list) else list(self._counted(values, 1))

    def joined(self, parts: Iterable[str]) -> str:
        """`"".join`, which jinja2 calls for a whole prompt and for the results of macros and blocks."""
        found = []
        for part in parts:
            self.text(len(part))
            found.append(part)
        return "".join(found)

    def _counted(self, values: Iterable[Any], weight: int) -> Iterator[Any]:
        for value in values:
            self.steps(weight)
            yield value

    def _weigh(self, value: Any) -> None:
        """As often as something is found in it, it counts."""
        for inner in _inside(value):
            self.steps()
            if isinstance(inner, str | bytes):
                self.text(len(inner))

    def _extend(self) -> None:
        if not self._extended:
            self._extended = True
            for inner in _inside(self._row):
                self._steps += PER_VALUE
                if isinstance(inner, str | bytes):
                    self._text += PER_VALUE * len(inner)


def _inside(value: Any) -> Iterator[Any]:
    """All that is in a value, in itself, deep first; without recursion, and endless for what holds itself."""
    waiting = [iter((value,))]
    while waiting:
        for inner in waiting[-1]:
            yield inner
            if isinstance(inner, Mapping):
                waiting.append(iter([*inner.keys(), *inner.values()]))
                break
            if isinstance(inner, CONTAINERS):
                waiting.append(iter(inner))
                break
        else:
            waiting.pop()
