"""Routing functions that read rows: the worker that made a batch chooses, as part of its commit."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence

from common.building.build_routing import build_routing_function
from common.code.source import Sources
from common.errors import CannotServe, RunError, SpecError
from common.protocol.codec import decode_rows
from common.protocol.run_options import RowRoutingOptions
from common.routing import RoutingBatchFunction, choose_successors
from common.spec.spec import PipelineSpec
from worker.batches.outcome import RoutingFailed

logger = logging.getLogger("penstock.worker")


class RowRouting:
    """Chooses the successors that get the output of a step.

    Args:
        successors: of the step, in the order of the plan.
    """

    def __init__(self, step: str, function: RoutingBatchFunction, successors: Sequence[str]) -> None:
        self._step = step
        self._function = function
        self._successors = tuple(successors)

    def choose(self, seq: int, data: bytes) -> tuple[str, ...]:
        """The successors that get output batch `seq`; none if no row of it is whole.

        Args:
            data: the stored rows, so that the function reads what the successors will, and changes nothing.

        Raises:
            RoutingFailed: worded as in the coordinator.
        """
        rows = [row for row in decode_rows(data) if row is not None]
        if not rows:
            return ()
        try:
            return choose_successors(self._step, self._function, self._successors, seq, rows)
        except RunError as error:
            logger.exception("batch %d cannot be routed", seq)
            raise RoutingFailed(str(error)) from error


def row_routing(
    step: str, spec: PipelineSpec, wanted: RowRoutingOptions | None, allow: Sequence[str], sources: Sources
) -> RowRouting | None:
    """The routing that a run asks of the workers of `step`, if any.

    Args:
        wanted: published by the coordinator for the step.
        allow: modules that routing functions may come from.
        sources: the code of the step, as already read.

    Raises:
        CannotServe: the function cannot be imported here, or differs from the coordinator's.
    """
    if wanted is None:
        return None
    host = socket.gethostname()
    try:
        function = build_routing_function(step, spec.routing[step], allow=allow)
    except SpecError as error:
        raise CannotServe(f"{error} (on host {host})") from error
    digest = function.digest(sources)
    if not function.reads_rows or digest != wanted.digest:
        raise CannotServe(
            f"step '{step}': the source of its routing function '{function.name}' on this host differs from the "
            f"coordinator's (digest {digest}, not {wanted.digest}); install the same version on both"
        )
    return RowRouting(step, function, wanted.successors)
