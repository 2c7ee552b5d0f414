"""Steps that rearrange columns: KeepColumns, ExpandColumns, MergeColumns, GroupColumns, CombineOutputs."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from common.cells import cell_of, kind_of
from common.errors import RowError
from common.steps.base import Row, Step, StepInput, StepOutput
from common.steps.mappings import hidden_columns, output_names, source_names
from common.steps.metadata import join_metadata


class KeepColumns(Step):
    """Keeps `columns`, in that order, and drops the others. A row that lacks one of them fails."""

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    columns: list[str] = Field(min_length=1, description="The columns to keep.")

    @property
    def inputs(self) -> list[str]:
        return self.columns

    @property
    def outputs(self) -> list[str]:
        return self.columns

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        return output_names(self, self.columns) | hidden_columns(self, available or set())

    def process(self, inputs: StepInput) -> StepOutput:
        yield [{column: cell_of(row, column) for column in self.columns} for row in inputs]


class ExpandColumns(Step):
    """Makes one row from each element of a list column; the other columns are repeated.

    Several columns are expanded together, element by element, so their lists must be equally long in each row. An empty
    list yields no row. With a new name for the elements, the list itself is kept.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    columns: dict[str, str | None] = Field(
        min_length=1,
        description="List columns: a list of names, or name -> new name for the elements (null: the same name).",
    )
    encoded: bool | list[str] = Field(
        default=False,
        description="Cells are JSON text of a list: true for all columns, or the names of the columns with such cells.",
    )

    @field_validator("columns", mode="before")
    @classmethod
    def _from_list(cls, columns: Any) -> Any:
        return dict.fromkeys(columns) if isinstance(columns, list | tuple) else columns

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        if len(set(self.outputs)) < len(self.outputs):
            raise ValueError(f"two of the columns would have the same name: {self.outputs}")
        if isinstance(self.encoded, list) and (unknown := [name for name in self.encoded if name not in self.columns]):
            raise ValueError(f"encoded names {unknown}, but columns does not: {list(self.columns)}")
        return self

    @property
    def inputs(self) -> list[str]:
        return list(self.columns)

    @property
    def outputs(self) -> list[str]:
        return [new or column for column, new in self.columns.items()]

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        if available is None:
            return None
        return (available - hidden_columns(self, available)) | output_names(self, self.outputs)

    def process(self, inputs: StepInput) -> StepOutput:
        yield [expanded for row in inputs for expanded in self._expand(row)]

    def _expand(self, row: Row) -> list[Row]:
        lists = {column: self._elements(row, column) for column in self.columns}
        if len({len(elements) for elements in lists.values()}) > 1:
            lengths = ", ".join(f"'{column}' has {len(elements)}" for column, elements in lists.items())
            raise RowError(f"columns expanded together need lists of equal length in each row: {lengths}")
        names = self.outputs
        return [{**row, **dict(zip(names, elements, strict=True))} for elements in zip(*lists.values(), strict=True)]

    def _elements(self, row: Row, column: str) -> list[Any]:
        cell = cell_of(row, column)
        if self.encoded is True or (isinstance(self.encoded, list) and column in self.encoded):
            try:
                cell = json.loads(cell)
            except (TypeError, ValueError) as error:
                raise RowError(f"column '{column}' is not JSON text of a list, despite encoded: {error}") from None
        if not isinstance(cell, list | tuple):
            hint = "; if it is JSON text of a list, set encoded: true" if isinstance(cell, str) else ""
            raise RowError(f"column '{column}' holds {kind_of(cell)}, not a list to expand{hint}")
        return list(cell)


class MergeColumns(Step):
    """Joins columns of each row into one list, in the order of `columns`, and drops them.

    A list is joined element by element; any other value, None too, becomes one element.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    columns: list[str] = Field(min_length=1, description="The columns to join, each once.")
    output_column: str = Field(default="merged_column", min_length=1, description="Name of the list.")

    @field_validator("columns")
    @classmethod
    def _each_once(cls, columns: list[str]) -> list[str]:
        if repeated := [column for index, column in enumerate(columns) if column in columns[:index]]:
            raise ValueError(f"{repeated[0]!r} is listed twice")
        return columns

    @property
    def inputs(self) -> list[str]:
        return self.columns

    @property
    def outputs(self) -> list[str]:
        return [self.output_column]

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        if available is None:
            return None
        left = (available - source_names(self, self.columns)) | hidden_columns(self, available)
        return left | output_names(self, self.outputs)

    def process(self, inputs: StepInput) -> StepOutput:
        yield [self._merge(row) for row in inputs]

    def _merge(self, row: Row) -> Row:
        merged: list[Any] = []
        for column in self.columns:
            cell = cell_of(row, column)
            merged += cell if isinstance(cell, list | tuple) else [cell]
        left = {name: value for name, value in row.items() if name not in self.columns}
        return {**left, self.output_column: merged}


class GroupColumns(Step):
    """Joins rows of several predecessors: each of `columns` becomes the list of their values, in their order.

    Any other column keeps the value of the first predecessor that has it; `distilabel_metadata` is merged from all.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    # `output_columns`, the name that specs use, is a method of every step; hence the alias.
    model_config = ConfigDict(populate_by_name=True)

    columns: list[str] = Field(min_length=1, description="Columns that each predecessor has.")
    grouped_columns: list[str] | None = Field(
        default=None,
        alias="output_columns",
        description="Names of the lists, one for each of columns; default: grouped_<column>.",
    )

    @model_validator(mode="after")
    def _one_name_for_each_column(self) -> Self:
        if self.grouped_columns is not None and len(self.grouped_columns) != len(self.columns):
            raise ValueError(
                f"output_columns has {len(self.grouped_columns)} names for {len(self.columns)} columns; "
                "give one for each"
            )
        return self

    @property
    def inputs(self) -> list[str]:
        return self.columns

    @property
    def outputs(self) -> list[str]:
        return self.grouped_columns or [f"grouped_{column}" for column in self.columns]

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        if available is None:
            return None
        left = (available - source_names(self, self.columns)) | hidden_columns(self, available)
        return left | output_names(self, self.outputs)

    def process(self, *inputs: StepInput) -> StepOutput:
        _check_lengths(self.name, inputs)
        yield [self._group(rows) for rows in zip(*inputs, strict=True)]

    def _group(self, rows: tuple[Row, ...]) -> Row:
        merged: Row = {}
        for row in rows:
            for name, value in row.items():
                merged.setdefault(name, value)
        merged |= join_metadata(rows)
        for column in self.columns:
            merged.pop(column, None)
        for column, name in zip(self.columns, self.outputs, strict=True):
            merged[name] = [cell_of(row, column) for row in rows]
        return merged


class CombineOutputs(Step):
    """Joins rows of several predecessors into one with the columns of all; of colliding names the last wins.

    `distilabel_metadata` is merged from all predecessors.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    def process(self, *inputs: StepInput) -> StepOutput:
        _check_lengths(self.name, inputs)
        yield [
            {name: value for row in rows for name, value in row.items()} | join_metadata(rows)
            for rows in zip(*inputs, strict=True)
        ]


def _check_lengths(step: str, inputs: tuple[list[Row], ...]) -> None:
    if len({len(rows) for rows in inputs}) > 1:
        lengths = ", ".join(str(len(rows)) for rows in inputs)
        raise RowError(
            f"step '{step}' joins its inputs row by row, but got {lengths} rows; a predecessor that filters or expands "
            "rows cannot be joined: filter or expand before the branches part, or after they meet"
        )
