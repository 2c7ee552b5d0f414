"""Payloads kept in the broker itself, as keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.broker.connection import Connection
from common.protocol.batch import Payload
from common.protocol.keys import Keys


@dataclass(frozen=True, slots=True)
class BrokerPayloads:
    """The payloads of one run, for any reader."""

    connection: Connection
    run_id: str

    def name(self, payload: Payload) -> str:
        """Its key."""
        return Keys(self.run_id).payload(payload.step, payload.seq, payload.attempt)

    def read(self, payloads: Sequence[Payload]) -> list[bytes | None]:
        """Bytes of payloads, in one round trip; None for one that is missing."""
        return list(self.connection.command("MGET", *map(self.name, payloads))) if payloads else []
