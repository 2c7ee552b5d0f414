"""How a value is read from a text: a part that a pattern finds, JSON at a path, a number, a score. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.cells import kind_of
from common.errors import RowError

SHOWN = 80
"""Characters of a text in a message."""
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]

_NUMBER = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,2})?"
_FIRST_NUMBER = re.compile(rf"(?<![\w.]){_NUMBER}(?!\w)")
_WORD = re.compile(rf"\b(?:{'|'.join(WORDS)})\b", re.IGNORECASE)
_POINTS = rf"(?<![\w.])({_NUMBER}|{'|'.join(WORDS)})"
_SHARE = re.compile(rf"{_POINTS}\s*(?:/|out\s+of|of)\s*({_NUMBER}|{'|'.join(WORDS)})(?!\w)", re.IGNORECASE)
_PERCENT = re.compile(rf"(?<![\w.])({_NUMBER})\s*%")
_PATH = re.compile(r"(?:^|\.)([^.\[\]]+)|\[(-?\d+)\]")
_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", re.DOTALL | re.IGNORECASE)


class Reading(BaseModel):
    """How one column is read: JSON at `path`, what `pattern` finds there, and what that is read as."""

    model_config = ConfigDict(extra="forbid")

    path: str | None = Field(default=None, description="The text is JSON, and this is a path in it: answer.items[0].")
    pattern: str | None = Field(
        default=None,
        description="A regular expression that is searched for; its first group counts, or all of it without groups.",
    )
    read_as: Literal["value", "number", "score"] = Field(
        default="value", alias="as", description="The value as found, the first number in it, or a score."
    )
    scale: float | None = Field(
        default=None, gt=0, description="Most points of a score; 8 out of 10 is 4 on a scale of 5."
    )
    optional: bool = Field(default=False, description="None where nothing is found; otherwise the row fails.")

    @field_validator("pattern")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            compiled(pattern)
        return pattern

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, path: str | None) -> str | None:
        if path is not None:
            steps_of(path)
        return path

    @model_validator(mode="after")
    def _only_scores_have_a_scale(self) -> Self:
        if self.scale is not None and self.read_as != "score":
            raise ValueError("scale is for scores only; add as: score")
        return self

    def read(self, cell: Any) -> Any:
        """The value in a cell. Raises RowError: there is none."""
        found = cell if self.path is None else at_path(cell, self.path)
        if self.pattern is not None:
            found = matched(found, self.pattern)
        if self.read_as == "value":
            return found
        return number_in(found) if self.read_as == "number" else score_in(found, self.scale)


def compiled(pattern: str) -> re.Pattern[str]:
    """Raises ValueError if it is not a regular expression."""
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"'{pattern}' is not a regular expression: {error}") from None


def matched(found: Any, pattern: str) -> str | None:
    """The first group of the first match, or all of it. Raises RowError: there is no match, or no text."""
    match = re.search(pattern, _text(found))  # re keeps compiled patterns
    if match is None:
        raise RowError(f"pattern '{pattern}' is not in {shown(found)}")
    group: str | None = match[1] if match.re.groups else match[0]
    return group


def steps_of(path: str) -> list[str | int]:
    """The keys and indices of `$.a.b[0]`. Raises ValueError: it is not a path."""
    left = path.removeprefix("$").removeprefix(".")
    found = list(_PATH.finditer(left))
    if "".join(match[0] for match in found) != left or (not left and not path.startswith("$")):
        raise ValueError(f"'{path}' is not a path; write keys and indices: answer.items[0].text")
    return [match[1] if match[2] is None else int(match[2]) for match in found]


def at_path(cell: Any, path: str) -> Any:
    """What stands at a path of JSON text, which may be fenced. Raises RowError: it is not JSON, or nothing is there."""
    found = cell
    if isinstance(cell, str):
        fenced = _FENCED.fullmatch(cell)
        try:
            found = json.loads(fenced[1] if fenced else cell)
        except (ValueError, RecursionError) as error:
            raise RowError(f"{shown(cell)} is not JSON: {error}") from None
    for place in steps_of(path):
        fits = isinstance(found, list) if isinstance(place, int) else isinstance(found, dict)
        try:
            found = found[place] if fits else found
        except (KeyError, IndexError):
            fits = False
        if not fits:
            raise RowError(f"there is no {place!r} of the path '{path}' in {shown(found)}")
    return found


def number_in(found: Any) -> float:
    """The first number in a text; commas may separate thousands. Raises RowError: there is none."""
    if isinstance(found, int | float) and not isinstance(found, bool):
        return float(found)
    if (match := _FIRST_NUMBER.search(_text(found))) is None:
        raise RowError(f"there is no number in {shown(found)}")
    return float(match[0].replace(",", ""))


def score_in(found: Any, scale: float | None = None) -> float:
    """The points of a score: of `4/5`, `8 out of 10` or `80 %` if there is one, else the first number or number word.

    Args:
        scale: most points of the result; None leaves the points as written.

    Raises:
        RowError: there is no score, or it has more points than it can have.
    """
    text = str(found) if isinstance(found, int | float) and not isinstance(found, bool) else _text(found)
    most = scale
    if (share := _SHARE.search(text)) is not None:
        points, most = _points(share[1]), _points(share[2])
    elif (percent := _PERCENT.search(text)) is not None:
        points, most = _points(percent[1]), 100.0
    elif (alone := _FIRST_NUMBER.search(text) or _WORD.search(text)) is not None:
        points = _points(alone[0])
    else:
        raise RowError(f"there is no score in {shown(found)}")
    if most is not None and not 0 <= points <= most:
        raise RowError(f"the score in {shown(found)} is {points:g}, not between 0 and {most:g}")
    return points if scale is None or most in (None, scale) or not most else points * scale / most


def shown(value: Any) -> str:
    """The beginning of a value, for a message."""
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")


def _points(text: str) -> float:
    word = text.lower()
    return float(WORDS.index(word)) if word in WORDS else float(text.replace(",", ""))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise RowError(f"text is expected, and there is {kind_of(value)}")
    return value
