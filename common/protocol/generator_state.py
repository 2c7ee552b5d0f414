"""The position of a generator, as recorded in the broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import WireError


@dataclass(frozen=True, slots=True)
class GeneratorState:
    """A generator's next batch.

    Args:
        seq: of its next batch.
        offset: rows before that.
        attempt: how often the batch has failed the run.
        ended: there is no next batch.
        silent: owners that were taken for dead since the previous batch.
        deaths: how many of them have no lease now.
    """

    seq: int
    offset: int
    attempt: int
    ended: bool
    silent: tuple[str, ...] = ()
    deaths: int = 0

    @classmethod
    def parse(cls, told: Sequence[Any], key: str) -> GeneratorState:
        """Parses the reply of `own_generator.lua`. Raises WireError if the hash at `key` holds something else."""
        *numbers, silent = told
        if min(numbers) < 0:
            raise WireError(f"{key} does not hold the position of a generator; start over with --fresh")
        seq, offset, attempt, ended = numbers
        return cls(seq, offset, attempt, bool(ended), tuple(silent.decode(errors="replace").split()))
