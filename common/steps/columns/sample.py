"""SampleColumns and SampleRows: columns whose values are drawn at random, the same ones each time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from random import Random
from typing import ClassVar, Self

from pydantic import Field, model_validator

from common.cells import cell_of
from common.errors import RowError
from common.protocol.codec import encode_rows
from common.steps.base import GeneratorStep, GeneratorStepOutput, Row, Step, StepInput, StepOutput
from common.steps.columns.draws import AnyDraw
from common.steps.metadata import METADATA

_COLUMNS = (
    "Column -> how it is drawn: {draw: category, values, weights}, {draw: subcategory, of, values}, {draw: uniform, "
    "low, high, decimals}, {draw: gaussian, mean, std, decimals}, {draw: integer, low, high}, "
    "{draw: date, first, last} or {draw: person}; each with `when`. In order: a column may depend on those before it."
)


class SampleColumns(Step):
    """Adds columns to each row whose values are drawn at random: categories, numbers, dates, names.

    A `subcategory` depends on the value of another column, and `when` is an expression over columns without which the
    column is None; both see the columns drawn before. The draws of a row depend only on `seed` and on its content, not
    on batches or workers, so equal rows get equal values; `by` names the columns that count, such as an id.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    columns: dict[str, AnyDraw] = Field(min_length=1, description=_COLUMNS)
    seed: int = Field(default=0, description="Seed of the draws.")
    by: list[str] | None = Field(
        default=None, min_length=1, description="Columns on which the draws of a row depend; null for all of them."
    )

    @property
    def inputs(self) -> list[str]:
        return list(dict.fromkeys([*(self.by or []), *_needed(self.columns)]))

    @property
    def outputs(self) -> list[str]:
        return list(self.columns)

    def process(self, inputs: StepInput) -> StepOutput:
        chance = Random(0)
        yield [_drawn(row, self.columns, self.seed, self._content(row), chance) for row in inputs]

    def _content(self, row: Row) -> bytes:
        names = self.by or sorted(name for name in row if name != METADATA)
        return encode_rows([{name: cell_of(row, name) for name in names}])


class SampleRows(GeneratorStep):
    """Yields `num_rows` rows whose columns are drawn at random, as those of `SampleColumns` are.

    The draws of a row depend only on `seed` and on the number of the row, so a longer run begins with the same rows.
    """

    _version: ClassVar[int] = 1

    columns: dict[str, AnyDraw] = Field(min_length=1, description=_COLUMNS)
    num_rows: int = Field(default=100, ge=1, description="Rows to yield in all.")
    seed: int = Field(default=0, description="Seed of the draws.")

    @property
    def outputs(self) -> list[str]:
        return list(self.columns)

    @model_validator(mode="after")
    def _columns_are_in_order(self) -> Self:
        if needed := _needed(self.columns):
            raise ValueError(
                f"a column depends on '{needed[0]}', which is not drawn before it; drawn are, in this order, "
                f"{', '.join(map(repr, self.columns))}"
            )
        return self

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        """Yields the rows from row `offset` on, `batch_size` at a time."""
        chance = Random(0)
        for start in range(offset, self.num_rows, self.batch_size):
            stop = min(start + self.batch_size, self.num_rows)
            rows = [_drawn({}, self.columns, self.seed, b"%d" % number, chance) for number in range(start, stop)]
            yield rows, stop == self.num_rows


def _needed(columns: Mapping[str, AnyDraw]) -> list[str]:
    """The columns that draws depend on and that are not drawn before them."""
    drawn: set[str] = set()
    needed: list[str] = []
    for name, draw in columns.items():
        needed += [column for column in draw.columns if column not in drawn]
        drawn.add(name)
    return needed


def _drawn(row: Row, columns: Mapping[str, AnyDraw], seed: int, content: bytes, chance: Random) -> Row:
    digest = hashlib.blake2b(b"%d:%b" % (seed, content), digest_size=8).digest()
    chance.seed(int.from_bytes(digest))
    found = dict(row)
    for name, draw in columns.items():
        found[name] = draw.value(found, chance)
    return found
