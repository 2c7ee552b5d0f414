"""LoadDataFromDicts: rows that the spec itself holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from pydantic import Field

from common.steps.base import GeneratorStep, GeneratorStepOutput, Row


class LoadDataFromDicts(GeneratorStep):
    """Yields the rows of `data`, in order."""

    data: list[Row] = Field(description="The rows; each a mapping of column to value.")

    @property
    def outputs(self) -> list[str]:
        """Every column that some row has."""
        return list(dict.fromkeys(column for row in self.data for column in row))

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        """Yields copies of the rows from row `offset` on, `batch_size` at a time."""
        for start in range(offset, len(self.data), self.batch_size):
            stop = start + self.batch_size
            # Copies, since whoever gets a row may change it, and a generator that is opened again must not see that.
            yield [dict(row) for row in self.data[start:stop]], stop >= len(self.data)

    def fingerprint(self) -> str:
        """Digest of the rows, the order of their columns included: the dataset has its columns in that order."""
        digest = hashlib.blake2b(digest_size=16)
        for line in self._lines():
            digest.update(line.encode())
        return digest.hexdigest()

    def _lines(self) -> Iterator[str]:
        for row in self.data:
            yield json.dumps(row, default=lambda value: [type(value).__name__, repr(value)]) + "\n"
