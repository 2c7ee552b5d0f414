"""What goes wrong in a run of the fold, beside its plan."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Conditions:
    """What happens to a run, beside its plan.

    Args:
        seed: of the order in which things happen.
        crashes: chance, 0 to 1, that the coordinator dies at any moment.
        breaks: batches (step, seq) whose first attempt ends in a Failure.
        outage: a step whose rows all fail until the run is reopened.
        ends_empty: generators that say that they have ended in an empty result of its own.
    """

    seed: int = 0
    crashes: float = 0.0
    breaks: frozenset[tuple[str, int]] = frozenset()
    outage: str | None = None
    ends_empty: frozenset[str] = frozenset()


class Trouble:
    """The conditions of a run, and which of them are over."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self._tried: set[tuple[str, int]] = set()
        self._outage = conditions.outage

    def breaks(self, step: str, seq: int) -> bool:
        """Whether this attempt at a batch ends in a Failure. Called once per attempt."""
        first = (step, seq) not in self._tried
        self._tried.add((step, seq))
        return first and (step, seq) in self.conditions.breaks

    def fails_rows(self, step: str) -> bool:
        """Whether all rows of a step fail at the moment."""
        return step == self._outage

    def end_outage(self) -> None:
        """The run is reopened, and the cause of failing rows is gone."""
        self._outage = None

    def crashes(self, random: Random) -> bool:
        """Whether the coordinator dies at this moment."""
        return bool(self.conditions.crashes) and random.random() < self.conditions.crashes
