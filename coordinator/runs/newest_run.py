"""Chooses one of several runs of a pipeline: the run in progress, else the newest one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from common.broker.runs import RunRegistry
from common.protocol.status import UNDER_WAY
from coordinator.runs.run_directory import RunDirectory, RunRecord

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen run, and the ids of the other ones, newest first."""

    run_id: str
    others: Sequence[str]
    in_progress: bool

    def __str__(self) -> str:
        why = "which is in progress" if self.in_progress else "the newest one"
        more = f" and {len(self.others) - SHOWN} more" if len(self.others) > SHOWN else ""
        return f"taking {self.run_id}, {why}; to see another one, give its id: {', '.join(self.others[:SHOWN])}{more}"


@dataclass(frozen=True, slots=True, order=True)
class _Candidate:
    in_progress: bool
    begun: datetime
    run_id: str


def newest_run(
    pipeline: str, here: Sequence[tuple[RunDirectory, RunRecord]], registry: RunRegistry | None
) -> Choice | None:
    """One of the runs of a pipeline; None if there are fewer than two.

    Args:
        here: the runs on this host.
        registry: of the broker, for runs whose directories are elsewhere; None without a broker.
    """
    found = [
        _Candidate(directory.holder() is not None, record.created, record.run)
        for directory, record in here
        if record.pipeline == pipeline
    ]
    if registry is not None:
        found += _elsewhere(pipeline, {record.run for _, record in here}, registry)
    ids = list(dict.fromkeys(each.run_id for each in sorted(found, reverse=True)))
    return Choice(ids[0], ids[1:], max(found).in_progress) if len(ids) > 1 else None


def _elsewhere(pipeline: str, here: Collection[str], registry: RunRegistry) -> Iterator[_Candidate]:
    for record in registry.all():
        if record.pipeline == pipeline and record.run_id not in here:
            coordinated = record.status in UNDER_WAY and registry.is_coordinated(record.run_id)
            yield _Candidate(coordinated, _time(record.begun), record.run_id)


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:  # not written by a coordinator
        return datetime.min.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
