"""Routing functions that the coordinator runs: those that read no rows."""

from __future__ import annotations

from common.code.source import Sources
from common.protocol.run_options import RowRoutingOptions
from common.routing import choose_successors
from coordinator.plan.load import Prepared


class Routing:
    """The routing of a pipeline: what the coordinator chooses itself, and what it leaves to workers."""

    def __init__(self, prepared: Prepared) -> None:
        self._functions = prepared.routing
        self._successors = {step: prepared.plan.successors(step) for step in prepared.routing}

    def __call__(self, step: str, seq: int, rows: int) -> tuple[str, ...]:
        """Chooses successors.

        Raises:
            RunError: the function raises, or chooses something that is not a successor.
        """
        return choose_successors(step, self._functions[step], self._successors[step], seq)

    def for_workers(self, sources: Sources | None = None) -> dict[str, RowRoutingOptions]:
        """What the workers of each routing step need to know if its function reads rows.

        Args:
            sources: caches the code that has been read.
        """
        return {
            step: RowRoutingOptions(tuple(self._successors[step]), function.digest(sources))
            for step, function in self._functions.items()
            if function.reads_rows
        }
