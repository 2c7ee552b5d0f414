"""LoadDataFromDicts: rows in the spec itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import ClassVar

from pydantic import Field, field_validator

from common.errors import RowTypeError
from common.protocol.codec import check_row
from common.steps.base import GeneratorStep, GeneratorStepOutput, Row


class LoadDataFromDicts(GeneratorStep):
    """Yields the rows of `data`, in order."""

    _version: ClassVar[int] = 1

    outputs_of_the_data: ClassVar[bool] = True

    data: list[Row] = Field(description="The rows; each a mapping of column to value.")

    @field_validator("data")
    @classmethod
    def _are_what_a_spec_holds(cls, data: list[Row]) -> list[Row]:
        for number, row in enumerate(data):
            for column, value in row.items():
                if found := _foreign(value):
                    raise ValueError(
                        f"row {number}, column '{column}' holds a {found}, but a spec holds None, bool, numbers, text, "
                        "lists and mappings: write it as text, or use make_generator_step(rows), which keeps its type"
                    )
            try:
                check_row(row)
            except RowTypeError as error:
                raise ValueError(f"row {number}: {error}") from None
        return data

    @property
    def outputs(self) -> list[str]:
        """Every column of any row."""
        return columns_of(self.data)

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        """Yields copies of the rows from row `offset` on, `batch_size` at a time."""
        for start in range(offset, len(self.data), self.batch_size):
            stop = start + self.batch_size
            # Copies, since a receiver may change its row, and a reopened generator must not see that.
            yield [dict(row) for row in self.data[start:stop]], stop >= len(self.data)

    def fingerprint(self) -> str:
        """Digest of the rows and the order of their columns, which is the dataset's order too."""
        return rows_digest(self.data)


def _foreign(value: object) -> str:
    """The type of the first value that JSON does not have; empty if there is none."""
    if isinstance(value, dict):
        return next(filter(None, map(_foreign, value.values())), "")
    if isinstance(value, list | tuple):
        return next(filter(None, map(_foreign, value)), "")
    return "" if value is None or isinstance(value, bool | int | float | str) else type(value).__name__


def columns_of(rows: Iterable[Row]) -> list[str]:
    """Every column of any row, in the order of first appearance."""
    return list(dict.fromkeys(column for row in rows for column in row))


def rows_digest(rows: Iterable[Row]) -> str:
    """32 hex digits that change with a value, a type, and the order of rows or columns."""
    digest = hashlib.blake2b(digest_size=16)
    for row in rows:
        line = json.dumps(row, default=lambda value: [type(value).__name__, repr(value)])
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()
