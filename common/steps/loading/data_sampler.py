"""DataSampler: rows drawn from data in the spec, such as the examples of a few-shot prompt."""

from __future__ import annotations

import hashlib
import random
from typing import ClassVar, Self

from pydantic import Field, model_validator

from common.steps.base import GeneratorStep, GeneratorStepOutput, Row
from common.steps.loading.data import columns_of, rows_digest


class DataSampler(GeneratorStep):
    """Yields `samples` rows, each with a list of `size` values in every column, drawn at random from `data`.

    The values of one row come from different rows of `data`, the same ones in every column; None replaces a missing
    value. If `samples` equals the number of rows of another generator, `CombineOutputs` can add examples to each of
    its rows. Which rows are drawn depends only on `seed` and the number of the row.
    """

    _version: ClassVar[int] = 1

    data: list[Row] = Field(min_length=1, description="The rows to draw from; each a mapping of column to value.")
    size: int = Field(default=2, ge=1, description="Rows of the data in each row that is yielded.")
    samples: int = Field(default=100, ge=1, description="Rows to yield in all.")
    seed: int = Field(default=0, description="Seed of the draws.")

    @model_validator(mode="after")
    def _there_are_enough(self) -> Self:
        if self.size > len(self.data):
            raise ValueError(
                f"size is {self.size}, but data has {len(self.data)} rows to draw from; set a smaller size"
            )
        return self

    @property
    def outputs(self) -> list[str]:
        """Every column of any row of the data."""
        return columns_of(self.data)

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        """Yields the rows from row `offset` on, `batch_size` at a time."""
        columns = self.outputs
        for start in range(offset, self.samples, self.batch_size):
            stop = min(start + self.batch_size, self.samples)
            yield [self._sample(number, columns) for number in range(start, stop)], stop == self.samples

    def fingerprint(self) -> str:
        """Digest of the data, the order of its columns included."""
        return rows_digest(self.data)

    def _sample(self, number: int, columns: list[str]) -> Row:
        # A separate random stream for each row, so that the generator can be opened at any offset.
        digest = hashlib.blake2b(f"{self.seed}:{number}".encode(), digest_size=8).digest()
        drawn = random.Random(int.from_bytes(digest)).sample(self.data, self.size)
        return {column: [row.get(column) for row in drawn] for column in columns}
