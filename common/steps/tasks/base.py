"""Task: a step that asks a model once or several times for each row."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from common.steps.base import AsyncStep, Row
from common.steps.tasks.asking_step import AskingStep


class Task(AskingStep, AsyncStep):
    """A step that asks a model for each row. A subclass says what to ask and how to read the answer:

    - `inputs` and `outputs`: the columns that it reads and adds;
    - `format_input(row)`: the messages; a text is one message of the user;
    - `format_output(text, row)`: a mapping of the columns in `outputs`.

    Both are pure, so each can be tested alone. Everything else is here: system prompts, several generations, images,
    retries, the column `model_name`, and the metadata of `enable_metadata`. An answer that `format_output` raises for
    is asked for again as another sample, `parse_retries` times; then the row fails, with the answer in its error.
    """

    @abstractmethod
    def format_input(self, row: Row, /) -> Any: ...

    @abstractmethod
    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]: ...

    async def process_row(self, row: Row) -> Row | list[Row]:
        """Returns the row with its answer, or one row per generation.

        Raises:
            PromptError: no prompt can be made from the row.
            RowError: the model gave no answer that the row can keep.
        """
        assert self._asker is not None, "call load() before processing rows"
        return await self._asker.rows(row)
