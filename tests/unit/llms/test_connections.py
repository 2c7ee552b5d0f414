"""The connections of a client, as the system sees them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from common.llms import OpenAILLM
from tests.support.asking import answer_of
from tests.support.servers.chat_server import echoed, serving

TABLE = Path("/proc/net/tcp")
KEEPALIVE = 2
"""The timer of a connection that is asked for a sign of life when it runs out."""


def timer_of_the_connection_to(port: int) -> tuple[int, float]:
    """Which one runs, and the seconds that it has left."""
    for line in TABLE.read_text().splitlines()[1:]:
        _, _, remote, _, _, timer, *_ = line.split()
        if remote.endswith(f":{port:04X}"):
            kind, left = (int(part, 16) for part in timer.split(":"))
            return kind, left / os.sysconf("SC_CLK_TCK")
    raise AssertionError("there is no connection")


@pytest.mark.skipif(not TABLE.exists(), reason="the system does not show the timers of connections")
def test_a_call_that_waits_for_a_long_answer_notices_that_the_network_is_gone() -> None:
    async def waiting() -> tuple[int, float]:
        async with serving(echoed, delay=0.5) as chat:
            call = asyncio.create_task(answer_of(OpenAILLM(model="m", base_url=chat.url)))
            kind, left = 0, 0.0
            while not call.done() and kind != KEEPALIVE:  # that of the request until that is acknowledged
                await asyncio.sleep(0.01)
                if chat.requests:
                    kind, left = timer_of_the_connection_to(urlsplit(chat.url).port or 0)
            await call
            return kind, left

    kind, left = asyncio.run(waiting())
    assert kind == KEEPALIVE
    assert left <= 15
