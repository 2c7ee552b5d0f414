"""NumberedGenerator: a generator task whose rows draw what they are asked with by their numbers."""

from __future__ import annotations

from common.steps.base import Row
from common.steps.tasks.generator_task import GeneratorTask

NUMBER = "number"


class NumberedGenerator(GeneratorTask):
    """The common part of generator tasks that draw by seed and number, so alike after a resume.

    Formats see the number of the row as its column `number`, which the rows that come out do not have.
    """

    def seed_row(self, number: int) -> Row:
        return {NUMBER: number}

    async def _made(self, seed: Row) -> list[Row]:
        return [{name: value for name, value in row.items() if name != NUMBER} for row in await super()._made(seed)]
