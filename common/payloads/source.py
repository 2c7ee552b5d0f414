"""Reads payloads by reference, wherever they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.broker.payloads import BrokerPayloads
from common.errors import PayloadLost, PayloadMissing
from common.payloads.stores import FileStore
from common.protocol.batch import Payload


@dataclass(frozen=True, slots=True)
class PayloadSource:
    """The payloads of one run.

    Args:
        inside: those kept in the broker.
        files: the store of the others; None if the run has none.
    """

    inside: BrokerPayloads
    files: FileStore | None = None

    def name(self, payload: Payload) -> str:
        """The key of a payload, or the name of its file."""
        return payload.external or self.inside.name(payload)

    def fetch(self, payloads: Sequence[Payload]) -> dict[Payload, bytes | PayloadLost]:
        """The bytes of each, those in the broker in one round trip; or the error.

        Raises:
            StoreError: the payload store cannot be read.
        """
        wanted = list(dict.fromkeys(payloads))
        inside = [payload for payload in wanted if payload.external is None]
        outside = [payload for payload in wanted if payload.external is not None]
        found: dict[Payload, bytes | PayloadLost] = {
            payload: PayloadMissing(self.name(payload)) if data is None else data
            for payload, data in zip(inside, self.inside.read(inside), strict=True)
        }
        if self.files is None:
            return found | {payload: PayloadMissing(self.name(payload), in_file=True) for payload in outside}
        return found | dict(zip(outside, self.files.read_all(outside), strict=True))
