"""Where a generator stands, as the broker knows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GeneratorState:
    """The next batch of a generator.

    Args:
        seq: of its next batch.
        offset: rows before that.
        attempt: times that the batch failed the run.
        ended: there is no next batch.
        deaths: owners that died since the batch before it.
    """

    seq: int
    offset: int
    attempt: int
    ended: bool
    deaths: int = 0
