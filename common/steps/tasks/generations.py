"""The rows of a task that asks a model several times for each of its generations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from common.steps.base import Row
from common.steps.tasks.asker import Answer
from common.steps.tasks.asking_step import AskingStep


async def rows_of_generations(
    task: AskingStep, row: Row, one: Callable[[int], Awaitable[Answer[dict[str, Any]]]]
) -> Row | list[Row]:
    """See `Asker.rows_of`.

    Args:
        one: makes the generation of a number, which counts from 0.

    Raises:
        RowError: one of them did not come; the others have ended as well.
    """
    made = await asyncio.gather(*map(one, range(task.num_generations)), return_exceptions=True)
    answers: list[Answer[dict[str, Any]]] = []
    for each in made:
        if isinstance(each, BaseException):
            raise each
        answers.append(each)
    return task.asker.rows_of(row, answers)
