"""Does only this worker find its endpoint away? Pure; the caller has the clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from common.broker.runs import WorkerRecord
from common.llms.waiting import Waits


@dataclass(slots=True)
class Solitude:
    """Compares what one worker finds with what the others of its step say.

    An outage that all share is found at different moments, and so is its end: a worker waits for a while before it
    believes the others, and asks once more meanwhile. A worker without rows cannot say how its endpoint is, but if it
    was answered before, it may try. One that never was cannot: so two workers do not pass rows to and fro.

    Args:
        seconds: that others must not have found the endpoint away.
    """

    seconds: float
    _since: float = math.inf

    def look(self, waits: Waits, others: Sequence[WorkerRecord], now: float) -> bool:
        """Whether the worker should leave, since others can take its rows. Call it all the time.

        Args:
            waits: of the rows of this worker.
            others: workers of the step.
        """
        others_can = any(one.answered and one.alive and one.loaded and not one.away for one in others)
        self._since = min(self._since, now) if waits.reason and others_can else math.inf
        return now - self._since >= self.seconds and waits.vain > self._since
