"""Asking a client of a model one question, as a program does."""

from __future__ import annotations

import asyncio
from typing import Any

from common.llms import LLM, Generation
from common.llms.waiting import RowClock, use_clock

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
