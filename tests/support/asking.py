"""Asking a client of a model one question, as a program does."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from common.llms import LLM, Generation
from common.llms.waiting import RowClock, use_clock
from common.steps.retry import RetryPolicy
from common.steps.tasks.asking import Asking, ask_and_read

HI: list[Any] = [{"role": "user", "content": "hi"}]


async def answer_of(llm: LLM, messages: list[Any] = HI, patience: float | None = None, **options: Any) -> Generation:
    """Opens the client, asks, closes it.

    Args:
        patience: seconds after which the call gives up an endpoint that is away.
    """
    if patience is not None:
        use_clock(RowClock(patience=patience))
    await asyncio.to_thread(llm.load)
    await llm.aload()
    try:
        return await llm.agenerate(messages, **options)
    finally:
        await llm.aunload()


async def ask(llm: LLM, messages: list[Any], policy: RetryPolicy, accept: Collection[str] = (), **options: Any) -> Any:
    """One answer that a row can keep, as a task asks for it."""
    answer, _ = await ask_and_read(llm, messages, Asking(policy, accept, options=options), lambda answer: None)
    return answer
