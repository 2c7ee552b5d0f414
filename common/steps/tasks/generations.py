"""Questions of a task that asks several for a row, and the rows that come of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from common.steps.base import Row
from common.steps.tasks.answer import Answer
from common.steps.tasks.asking_step import AskingStep

T = TypeVar("T")


async def rows_of_generations(
    task: AskingStep, row: Row, one: Callable[[int], Awaitable[Answer[dict[str, Any]]]]
) -> Row | list[Row]:
    """See `Asker.rows_of`.

    Args:
        one: makes the generation of a number, which counts from 0.

    Raises:
        RowError: one of them did not come; the others have ended as well.
    """
    return task.asker.rows_of(row, await all_of(map(one, range(task.num_generations))))


async def all_of(asked: Iterable[Awaitable[Answer[T]]]) -> list[Answer[T]]:
    """The answers to questions that are asked at once, in their order.

    Raises:
        RowError: one of them did not come; the others have ended as well.
    """
    answers: list[Answer[T]] = []
    for each in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(each, BaseException):
            raise each
        answers.append(each)
    return answers
