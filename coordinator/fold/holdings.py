"""The payloads that the journal has announced and the fold has not released. Part of the fold: pure."""

from __future__ import annotations

from common.protocol.batch import Payload
from coordinator.plan.plan import Plan


class Holdings:
    """Counts the payloads in the broker and in the payload store, and knows which files are needed.

    Attributes:
        in_broker, in_store: bytes; payloads that wait for a later stage, and the output of a global step, do not count:
            they are not work in flight, and nothing limits them.
        payloads: all of them.
        files: names of those in the payload store.
    """

    def __init__(self, plan: Plan) -> None:
        self.in_broker = 0
        self.in_store = 0
        self.payloads: set[Payload] = set()
        self.files: set[str] = set()
        self._waits = {name: plan.waits_for_a_stage(name) for name in plan.steps}

    def take(self, payload: Payload, size: int) -> None:
        """Adds a payload announced by a result."""
        self._count(payload, size)
        self.payloads.add(payload)
        if payload.external is not None:
            self.files.add(payload.external)

    def let_go(self, payload: Payload, size: int) -> None:
        """Removes a payload that is no longer needed."""
        self._count(payload, -size)
        self.payloads.discard(payload)
        if payload.external is not None:
            self.files.discard(payload.external)

    def _count(self, payload: Payload, size: int) -> None:
        if self._waits[payload.step]:
            return
        if payload.external is None:
            self.in_broker += size
        else:
            self.in_store += size
