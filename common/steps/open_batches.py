"""How many batches a worker of an asynchronous step has open at once."""

from __future__ import annotations

from common.steps.base import AsyncStep

LEAST, MOST = 32, 512


def open_batches(step: AsyncStep) -> int:
    """Enough that rows which take long keep no others from starting.

    A batch is open as long as one of its rows is not done, so that `concurrency` slow rows may be in as many batches.
    """
    return min(max(LEAST, step.concurrency), MOST)
