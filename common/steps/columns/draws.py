"""How the value of a sampled column is drawn: categories, numbers, dates, names. Pure, given a source of chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from random import Random
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from common.cells import cell_of
from common.errors import RowError
from common.templates.expression import RowExpression

_GIVEN = """
Ada Amir Ana Bilal Bruno Chen Chiara Dalia David Elena Emeka Farah Felix Grace Hana Hugo Ines Ivan Jamal Julia
Kenji Lara Leon Lucia Maya Mateo Mei Nadia Noah Nora Omar Priya Ravi Rosa Samir Sofia Tariq Thomas Yuki Zara
"""
_FAMILY = """
Adeyemi Ahmed Andersen Bauer Chen Costa Diallo Dubois Eriksen Fischer Garcia Haddad Hansen Ito Ivanova Jansen
Kaya Khan Kim Kowalski Lopez Martin Mensah Moreau Murphy Nagy Nguyen Novak Okafor Patel Popescu Rossi Sato
Schmidt Silva Singh Smith Tanaka Weber Yilmaz
"""
GIVEN_NAMES, FAMILY_NAMES = tuple(_GIVEN.split()), tuple(_FAMILY.split())


class Draw(BaseModel):
    """What all draws have in common: a condition. A column that is not drawn is None."""

    model_config = ConfigDict(extra="forbid")

    when: str | None = Field(
        default=None, min_length=1, description="Draw only if this expression over columns is true; otherwise None."
    )

    _when: RowExpression | None = PrivateAttr(default=None)

    @field_validator("when")
    @classmethod
    def _is_an_expression(cls, when: str | None) -> str | None:
        if when is not None:
            RowExpression(when)
        return when

    def model_post_init(self, _context: Any) -> None:
        """Compiles the condition."""
        self._when = RowExpression(self.when) if self.when is not None else None

    @property
    def columns(self) -> list[str]:
        """The columns that it depends on."""
        return self._when.columns if self._when is not None else []

    def value(self, row: Mapping[str, Any], chance: Random) -> Any:
        """The value for a row. Raises RowError: a column that it depends on does not fit."""
        return self.draw_for(row, chance) if self._when is None or self._when.holds(row) else None

    def draw_for(self, row: Mapping[str, Any], chance: Random) -> Any:
        """The value, if the condition is true."""
        raise NotImplementedError


class Category(Draw):
    """One of some values, the heavier ones more often."""

    draw: Literal["category"]
    values: list[Any] = Field(min_length=1)
    weights: list[float] | None = None

    @model_validator(mode="after")
    def _each_has_a_weight(self) -> Self:
        if self.weights is not None:
            check_weights(self.weights, len(self.values))
        return self

    def draw_for(self, row: Mapping[str, Any], chance: Random) -> Any:
        """One value."""
        return chance.choices(self.values, self.weights)[0]


class Subcategory(Draw):
    """One of the values that belong to the value of another column."""

    draw: Literal["subcategory"]
    of: str = Field(min_length=1)
    values: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(min_length=1)

    @property
    def columns(self) -> list[str]:
        """The other column too."""
        return [self.of, *super().columns]

    def draw_for(self, row: Mapping[str, Any], chance: Random) -> Any:
        """Raises RowError: there are no values for what the other column holds."""
        found = cell_of(row, self.of)
        if (values := self.values.get(str(found))) is None:
            raise RowError(f"column '{self.of}' holds {str(found)[:80]!r}, for which there are no values to draw")
        return chance.choice(values)


class Uniform(Draw):
    """A number from low to high."""

    draw: Literal["uniform"]
    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    decimals: int | None = Field(default=None, ge=0, le=15)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        check_range(self.low, self.high)
        return self

    def draw_for(self, row: Mapping[str, Any], chance: Random) -> float:
        """A float."""
        return rounded(chance.uniform(self.low, self.high), self.decimals)


class Gaussian(Draw):
    """A number around a mean."""

    draw: Literal["gaussian"]
    mean: float = Field(default=0.0, allow_inf_nan=False)
    std: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    decimals: int | None = Field(default=None, ge=0, le=15)

    def draw_for(self, row: Mapping[str, Any], chance: Random) -> float:
        """A float."""
        return rounded(chance.normalvariate(self.mean, self.std), self.decimals)


class Integer(Draw):
    """A whole number from low to high, both included."""

    draw: Literal["integer"]
    low: int = Field(ge=-(2**63))
    high: int = Field(lt=2**63)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        check_range(self.low, self.high)
        return self

    def draw_for(self, row: Mapping[str, Any], chance: Random) -> int:
        """An int."""
        return chance.randint(self.low, self.high)


class Day(Draw):
    """A day from first to last, both included, as text: 2026-01-31."""

    draw: Literal["date"]
    first: date
    last: date

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        check_range(self.first, self.last, "first", "last")
        return self

    def draw_for(self, row: Mapping[str, Any], chance: Random) -> str:
        """ISO 8601."""
        return (self.first + timedelta(days=chance.randint(0, (self.last - self.first).days))).isoformat()


class Person(Draw):
    """The name of a person who does not exist: a given and a family name of many countries."""

    draw: Literal["person"]

    def draw_for(self, row: Mapping[str, Any], chance: Random) -> str:
        """`Ada Novak`."""
        return f"{chance.choice(GIVEN_NAMES)} {chance.choice(FAMILY_NAMES)}"


AnyDraw = Annotated[Category | Subcategory | Uniform | Gaussian | Integer | Day | Person, Field(discriminator="draw")]


def check_weights(weights: Sequence[float], values: int) -> None:
    """Raises ValueError unless each value has one, none is negative and one is positive."""
    if len(weights) != values:
        raise ValueError(f"there are {len(weights)} weights for {values} values; give one for each")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not 0 < sum(weights) < math.inf:
        raise ValueError("weights are numbers of 0 or more, of which one is above 0")


def check_range(low: Any, high: Any, low_name: str = "low", high_name: str = "high") -> None:
    """Raises ValueError if nothing is in it."""
    if low > high:
        raise ValueError(f"{low_name} is {low}, above {high_name}, {high}; swap them")


def rounded(number: float, decimals: int | None) -> float:
    """To so many decimals; None for all."""
    return number if decimals is None else round(number, decimals)
