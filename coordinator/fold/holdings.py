"""The payloads that the journal has announced and the fold has not let go. Part of the fold: pure."""

from __future__ import annotations

from common.protocol.batch import Payload
from coordinator.plan.plan import Plan


class Holdings:
    """Counts what is in the broker and in the payload store, and knows which files are needed.

    Attributes:
        in_broker, in_store: bytes; those that wait for a later stage, and what a global step puts out, do not count:
            they are no work in flight, and nothing limits them.
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
        """A result has announced it."""
        self._count(payload, size)
        self.payloads.add(payload)
        if payload.external is not None:
            self.files.add(payload.external)

    def let_go(self, payload: Payload, size: int) -> None:
        """No one needs it any more."""
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
