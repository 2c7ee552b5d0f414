"""Where a generator stands, as the broker knows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import WireError


@dataclass(frozen=True, slots=True)
class GeneratorState:
    """The next batch of a generator.

    Args:
        seq: of its next batch.
        offset: rows before that.
        attempt: times that the batch failed the run.
        ended: there is no next batch.
        silent: owners that were taken for dead since the batch before it.
        deaths: those of them that have no lease now.
    """

    seq: int
    offset: int
    attempt: int
    ended: bool
    silent: tuple[str, ...] = ()
    deaths: int = 0

    @classmethod
    def parse(cls, told: Sequence[Any], key: str) -> GeneratorState:
        """What `own_generator.lua` tells. Raises WireError where the hash at `key` holds something else."""
        *numbers, silent = told
        if min(numbers) < 0:
            raise WireError(f"{key} holds something else than where a generator stands; use --fresh")
        seq, offset, attempt, ended = numbers
        return cls(seq, offset, attempt, bool(ended), tuple(silent.decode(errors="replace").split()))
