"""Texts cut into chunks that overlap, at the ends of paragraphs, sentences or words. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

Unit = Literal["characters", "words"]

_SPACE = re.compile(r"\s+")
_BORDERS = (
    re.compile(r"\n[^\S\n]*\n\s*"),
    re.compile(r"\n\s*"),
    re.compile(r"[.!?…][\"'”\u2019»)\]]*\s+|[。\uff01\uff1f](?!\s)"),
    _SPACE,
)
"""What a chunk may end with, the best first: paragraphs, lines, sentences (also of scripts without spaces), words."""
_WORD = re.compile(r"\S+")


def split_text(text: str, size: int, overlap: int = 0, unit: Unit = "characters") -> list[tuple[int, int]]:
    """The chunks of a text, in order, as (start, end) in characters. Together they cover it; the last one ends with it.

    A chunk ends after a paragraph if one ends in its second half, else after a line, a sentence or a word, else after
    `size` characters. The next one repeats of its end as many whole words as `overlap` has room for; in the middle of a
    longer word, exactly `overlap`.

    Args:
        size: most characters or words of a chunk.
        overlap: most characters or words that a chunk shares with the one before; less than `size`.
        unit: what is counted. White space counts as characters, and separates words.
    """
    scale = _Characters(text) if unit == "characters" else _Words(text)
    return list(_Cut(text, size, overlap, scale).chunks())


class _Scale(Protocol):
    """Places in a text, by what is counted."""

    def after(self, place: int, count: int) -> int:
        """The place so many units after another one; the end of the text if there are fewer."""

    def before(self, place: int, count: int) -> int:
        """The place so many units before another one."""

    def has(self, place: int) -> bool:
        """Whether a chunk may end at the place."""


@dataclass(frozen=True, slots=True)
class _Characters:
    text: str

    def after(self, place: int, count: int) -> int:
        return min(place + count, len(self.text))

    def before(self, place: int, count: int) -> int:
        return place - count

    def has(self, place: int) -> bool:
        return True


class _Words:
    def __init__(self, text: str) -> None:
        self._starts = [word.start() for word in _WORD.finditer(text)]
        self._end = len(text)

    def after(self, place: int, count: int) -> int:
        number = bisect_left(self._starts, place) + count
        return self._starts[number] if number < len(self._starts) else self._end

    def before(self, place: int, count: int) -> int:
        number = bisect_left(self._starts, place) - count
        return self._starts[number] if count else place

    def has(self, place: int) -> bool:
        number = bisect_left(self._starts, place)
        return number < len(self._starts) and self._starts[number] == place


class _Cut:
    """One text being cut."""

    def __init__(self, text: str, size: int, overlap: int, scale: _Scale) -> None:
        self._text = text
        self._size = size
        self._overlap = overlap
        self._scale = scale

    def chunks(self) -> Iterator[tuple[int, int]]:
        end = 0
        while end < len(self._text):
            start = self._start(end)
            end = self._end(start, end)
            yield start, end

    def _start(self, before: int) -> int:
        """Where a chunk begins, given the end of the one before."""
        if not self._overlap or not before:
            return before
        earliest = self._scale.before(before, self._overlap)
        space = _SPACE.search(self._text, earliest - 1, before)
        return space.end() if space else earliest

    def _end(self, start: int, before: int) -> int:
        """Where a chunk ends: later than the one before, and so that the next one begins later than this one."""
        after = self._scale.after
        limit = after(start, self._size)
        if limit == len(self._text):
            return limit
        least = max(before + 1, after(start, max(self._size // 2, self._overlap + 1)))
        for border in _BORDERS:
            ends = [found.end() for found in border.finditer(self._text, start, limit)]
            fitting = [end for end in ends if end >= least and self._scale.has(end)]
            if fitting:
                return fitting[-1]
        return limit
