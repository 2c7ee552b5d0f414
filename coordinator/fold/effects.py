"""The effects of a journal entry, for others to execute."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.protocol.batch import Batch, Payload


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A batch may be sent to its step. The batches of a step come in seq order."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Redo:
    """A batch must be sent again, with a new attempt, because the run was reopened."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Release:
    """The payload is no longer needed. `size` is in bytes."""

    payload: Payload
    size: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Emit:
    """An output of a leaf, in seq order, must be written to a part. `size` is in bytes."""

    payload: Payload
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class Route:
    """An output of a routing step waits for a choice of successors, which is journaled as `Routed`."""

    step: str
    seq: int
    rows: int


Effect = Dispatch | Redo | Release | Emit | Route
