"""ParseColumns: columns read from a text, such as a model's answer."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from common.cells import cell_of, text_of
from common.errors import RowError
from common.steps.base import Row, Step, StepInput, StepOutput
from common.steps.columns.readings import Reading, compiled, shown
from common.steps.mappings import hidden_columns, output_names, source_names


class ParseColumns(Step):
    """Adds columns that it reads from `column`, such as the reason and the score in a judge's answer.

    The named groups of `pattern` become columns: `Reason: (?P<reason>.*)`. `columns` says how other columns are read,
    each from the whole text, or how a group is read: `{rating: {as: score, scale: 5}}`. `path` reads JSON, fenced or
    not; `pattern` searches; `as: number` takes the first number. A score is `4/5`, `8 out of 10` or `80 %`, else the
    first number or number word up to ten; `scale` converts it. Numbers and scores are floats. A row in which something
    is not found fails, unless that column is `optional`.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    column: str = Field(default="generation", min_length=1, description="The column with the texts.")
    pattern: str | None = Field(
        default=None, description="A regular expression that is searched for; its named groups become columns."
    )
    columns: dict[str, Reading] = Field(
        default_factory=dict, description="Column -> how it is read: path, pattern, as, scale, optional."
    )
    drop: bool = Field(default=False, description="Leave the column with the texts out.")

    @field_validator("pattern")
    @classmethod
    def _has_named_groups(cls, pattern: str | None) -> str | None:
        if pattern is not None and not compiled(pattern).groupindex:
            raise ValueError("the pattern has no named group to make a column of; write (?P<score>...)")
        return pattern

    @model_validator(mode="after")
    def _reads_something(self) -> Self:
        if not self.outputs:
            raise ValueError("there is nothing to read; give a pattern with named groups, or columns")
        return self

    @property
    def inputs(self) -> list[str]:
        return [self.column]

    @property
    def outputs(self) -> list[str]:
        return list(dict.fromkeys([*self._groups(), *self.columns]))

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        if available is None:
            return None
        left = available - source_names(self, [self.column]) if self.drop else available
        return left | hidden_columns(self, available) | output_names(self, self.outputs)

    def process(self, inputs: StepInput) -> StepOutput:
        pattern = re.compile(self.pattern) if self.pattern else None
        yield [self._parsed(row, pattern) for row in inputs]

    def _groups(self) -> list[str]:
        return list(compiled(self.pattern).groupindex) if self.pattern else []

    def _parsed(self, row: Row, pattern: re.Pattern[str] | None) -> Row:
        cell = cell_of(row, self.column)
        found: Row = self._matched(row, pattern) if pattern is not None else {}
        for column, reading in self.columns.items():
            try:
                found[column] = reading.read(found.get(column, cell))
            except RowError as error:
                if not reading.optional:
                    raise RowError(f"column '{column}' cannot be read from '{self.column}': {error}") from None
                found[column] = None
        left = {name: value for name, value in row.items() if name != self.column} if self.drop else row
        return {**left, **found}

    def _matched(self, row: Row, pattern: re.Pattern[str]) -> dict[str, Any]:
        text = text_of(row, self.column)
        if (match := pattern.search(text)) is not None:
            return match.groupdict()
        for column in pattern.groupindex:
            if column not in self.columns or not self.columns[column].optional:
                raise RowError(f"pattern '{self.pattern}' is not in column '{self.column}': {shown(text)}")
        return dict.fromkeys(pattern.groupindex)
