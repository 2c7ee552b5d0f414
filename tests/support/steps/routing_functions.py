"""Routing functions that tests import by name."""

from __future__ import annotations

from common.routing import routing_batch_function


@routing_batch_function()
def always_first(steps: list[str]) -> list[str]:
    """The first successor gets every batch."""
    return steps[:1]
