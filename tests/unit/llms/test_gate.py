"""What a row says that it waits for, in front of an endpoint that is away."""

from __future__ import annotations

import asyncio
import time

from common.llms.calls.gate import Gate
from common.llms.calls.outage import Record
from common.llms.waiting import RowClock, Waits


def test_the_row_that_probes_still_waits_for_the_endpoint() -> None:
    async def probing() -> tuple[str, str]:
        gate, waits = Gate("http://here"), Waits()
        clock = RowClock(waits)
        gate.outage.failed("refused", time.monotonic(), Record(), is_away=True)
        gate.outage.probe_at = 0.0
        probed = await gate.enter(clock)
        meanwhile = waits.reason
        gate.leave(clock, probed)
        return meanwhile, waits.reason

    assert asyncio.run(probing()) == ("endpoint http://here (refused)", "")


def test_a_row_waits_for_nothing_where_the_endpoint_is_there() -> None:
    async def entering() -> tuple[str, str]:
        waits = Waits()
        return await Gate("http://here").enter(RowClock(waits)), waits.reason

    assert asyncio.run(entering()) == ("", "")
