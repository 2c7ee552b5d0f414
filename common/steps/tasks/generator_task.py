"""GeneratorTask: a generator step whose rows are a model's answers."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextvars import copy_context
from typing import Any

from pydantic import Field

from common.errors import RowError, words_of
from common.parameters.runtime_parameters import RuntimeOption
from common.steps.base import GeneratorStep, Row
from common.steps.retry import OutOfRetries
from common.steps.tasks.asking import BadAnswer
from common.steps.tasks.asking_step import MODEL_NAME, AskingStep


class GeneratorTask(AskingStep, GeneratorStep):
    """A generator step that asks a model for its rows, `batch_size` of them at a time.

    A subclass writes `outputs`, `format_input` and `format_output` as for a `Task`. What the prompts differ in comes
    from `seed_row`, which makes the columns that row `number` begins with.

    A row for which the model gives no answer that can be read has None in its outputs, also with `on_error: skip`: the
    position of a generator is a number of rows, so none can be left out. With `on_error: fail` the run halts.
    """

    num_rows: RuntimeOption[int] = Field(default=1, ge=1, description="Prompts, each for num_generations answers.")

    @abstractmethod
    def format_input(self, row: Row, /) -> Any: ...

    @abstractmethod
    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]: ...

    def seed_row(self, number: int) -> Row:
        """The columns of a row before the model is asked. Pure: equal for the same number, counted from 0."""
        return {}

    async def process_row(self, row: Row) -> Row | list[Row]:
        """The row with its answer, or one row per generation; a task that asks several things for a row overrides it.

        Raises:
            PromptError: no prompt can be made from the row.
            RowError: the model gave no answer that the row can keep.
        """
        return await self.asker.rows(row)

    def process(self, offset: int = 0) -> Iterator[tuple[list[Row], bool]]:
        """Yields rows with answers, from row `offset` on.

        Raises:
            RowError: an answer did not come, with `on_error: fail`.
            UsageError: the run must halt.
        """
        each = 1 if self.group_generations else self.num_generations
        at_once = max(1, self.batch_size // each)
        skipped = offset % each
        with asyncio.Runner() as runner:
            runner.run(self.llm.aload())
            try:
                for first in range(offset // each, self.num_rows, at_once):
                    numbers = range(first, min(first + at_once, self.num_rows))
                    # In the caller's context as it is now, which knows who counts the answers.
                    rows = runner.run(self._rows(numbers), context=copy_context())
                    yield rows[skipped:], numbers.stop == self.num_rows
                    skipped = 0
            finally:
                runner.run(self.llm.aunload())

    async def _rows(self, numbers: Sequence[int]) -> list[Row]:
        asked = [self._made(self.seed_row(number)) for number in numbers]
        return [row for rows in await asyncio.gather(*asked) for row in rows]

    async def _made(self, seed: Row) -> list[Row]:
        try:
            made = await self.process_row(seed)
            return [made] if isinstance(made, dict) else made
        except RowError as error:
            if self.on_error == "fail" or not self._is_of_the_row(error):
                raise
            self._logger.warning("a row has no answer: %s", words_of(error))
            failed = {**dict.fromkeys(self.outputs), **seed, MODEL_NAME: self.llm.model_name, **error.columns}
            return [failed] * (1 if self.group_generations else self.num_generations)

    def _is_of_the_row(self, error: RowError) -> bool:
        """Whether the prompt or its answers are at fault, not a call that failed and may succeed later."""
        cause = error.cause if isinstance(error, OutOfRetries) else error
        return isinstance(cause, (BadAnswer, *self.final_errors, *self.llm.final_errors))
