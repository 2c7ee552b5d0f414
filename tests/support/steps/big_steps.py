"""A generator of large rows, for specs of tests: a test gets a copy beside its spec."""

from __future__ import annotations

import hashlib

from common.steps import GeneratorStep, GeneratorStepOutput


class Blobs(GeneratorStep):
    """Rows {"n": 0, "blob": <bytes that depend on n>}, ..."""

    rows: int = 200
    size: int = 40_000

    @property
    def outputs(self) -> list[str]:
        return ["n", "blob"]

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        while offset < self.rows:
            count = min(self.batch_size, self.rows - offset)
            yield [self.row(n) for n in range(offset, offset + count)], offset + count >= self.rows
            offset += count

    def row(self, n: int) -> dict[str, object]:
        return {"n": n, "blob": hashlib.sha256(str(n).encode()).digest() * (self.size // 32)}
