"""What has been played so far, one line of JSON each, so that a record of hours can be stopped and resumed."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.chaos.payment import Paid
from tests.chaos.trial import Trial


@dataclass(frozen=True, slots=True)
class Played:
    """A seed that ended as it should.

    Args:
        faults: kinds, each of which was brought about once.
        executions: of the command.
        paid: None in notes of before there was an endpoint.
        takeovers: kind of fault, and leases until another worker had a dead one's batches.
    """

    seed: int
    faults: tuple[str, ...]
    executions: int
    takeovers: tuple[tuple[str, float], ...] = ()
    paid: Paid | None = None

    @classmethod
    def of(cls, trial: Trial) -> Played:
        """The part of a trial that the record needs."""
        takeovers = tuple((one.kind, round(one.leases, 3)) for one in trial.takeovers)
        return cls(trial.scenario.seed, tuple(trial.injected.elements()), len(trial.codes), takeovers, trial.paid)


@dataclass(frozen=True, slots=True)
class Deaths:
    """Number of points at which coordinators should die, and how many did."""

    first: int
    points: int
    died: int


class Notes:
    """A file of both, appended to from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self.seeds: dict[int, Played] = {}
        self.deaths: dict[int, Deaths] = {}
        for line in path.read_text().splitlines() if path.exists() else []:
            fields = json.loads(line)
            if "seed" in fields:
                fields["takeovers"] = tuple((kind, leases) for kind, leases in fields["takeovers"])
                fields["paid"] = Paid(**fields["paid"]) if fields.get("paid") else None
                self._keep(Played(**{**fields, "faults": tuple(fields["faults"])}))
            else:
                self._keep(Deaths(**fields))

    def add(self, note: Played | Deaths) -> None:
        """Stores it, on disk too."""
        with self._guard:
            self._keep(note)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write(json.dumps(asdict(note)) + "\n")

    def _keep(self, note: Played | Deaths) -> None:
        if isinstance(note, Played):
            self.seeds[note.seed] = note
        else:
            self.deaths[note.first] = note
