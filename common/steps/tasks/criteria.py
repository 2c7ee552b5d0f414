"""Criteria: what a judge judges by, as a spec has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.steps.tasks.reply_parts import folded

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
_MOST_NAMED = 101
"""Scores that a JSON Schema lists; a longer scale is any whole number to it."""


class Criterion(BaseModel):
    """One criterion; a text alone is its description."""

    model_config = ConfigDict(extra="forbid")

    description: str = Field(min_length=1, description="The question that its score answers.")
    scale: tuple[int, int] = Field(default=(1, 5), description="The lowest and the highest score.")
    meanings: list[str] = Field(
        default_factory=list,
        description="What each score means, from the lowest on; without a scale the lowest is 1.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_less(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"description": given}
        if isinstance(given, Mapping) and "scale" not in given and isinstance(means := given.get("meanings"), list):
            return {**given, "scale": (1, len(means))}
        return given

    @model_validator(mode="after")
    def _has_a_meaning_for_each_score(self) -> Self:
        lowest, highest = self.scale
        if lowest >= highest:
            raise ValueError(f"scale: the lowest score, {lowest}, must be below the highest, {highest}")
        if self.meanings and len(self.meanings) != (count := highest - lowest + 1):
            raise ValueError(f"meanings: there are {len(self.meanings)} for {count} scores, {lowest} to {highest}")
        return self

    @property
    def scores(self) -> str:
        """Its scores in words."""
        return "a whole number from {} to {}".format(*self.scale)

    @property
    def schema_of_score(self) -> dict[str, Any]:
        """The JSON Schema of a score."""
        lowest, highest = self.scale
        if highest - lowest >= _MOST_NAMED:
            return {"type": "integer"}
        return {"type": "integer", "enum": list(range(lowest, highest + 1))}


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError: there are none, one cannot be a column of an expression, or two are alike in a reply."""
    seen: dict[str, str] = {}
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"'{name}' cannot be a column in an expression; write up to 60 letters, digits and '_', first a letter"
            )
        if (other := seen.setdefault(folded(name), name)) != name:
            raise ValueError(f"'{name}' and '{other}' are one name to a model; rename one")
    if not seen:
        raise ValueError("give at least one criterion")
