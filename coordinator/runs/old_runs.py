"""Removes runs that have not been touched for a long time, on this host and at a broker."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from common.errors import Fenced, PenstockError
from common.words.wording import ago, count, size
from coordinator.runs.lookup import FoundRun
from coordinator.runs.removal import disk_size, old_at_broker, remove_run
from coordinator.runs.run_directory import RunRecord
from coordinator.runs.run_list import condemned_runs, list_runs, sweep_cache


@dataclass(slots=True)
class OldRuns:
    """Removes them one by one, reports each, and counts what is freed.

    Args:
        older_than: seconds without a change.
        unfinished: also those that are not complete.
        dry_run: report what would be removed, and remove nothing.
        broker: URL of the broker that is cleaned too.
        complain: told which run is kept, and why.
        removed: number of runs.
        freed: bytes on disk.
        keys: in the broker.
        kept: old runs that can still be resumed.
        failed: whether one could not be removed.
    """

    older_than: float
    unfinished: bool
    dry_run: bool
    broker: str | None
    say: Callable[[str], None]
    complain: Callable[[str, object], None]
    removed: int = 0
    freed: int = 0
    keys: int = 0
    kept: int = 0
    failed: bool = False
    _now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def remove(self, cache: Path) -> None:
        """Removes what is old, and the leftovers of earlier removals."""
        if not self.dry_run:
            sweep_cache(cache)
        for directory, record in condemned_runs(cache):
            if self._is_removed(FoundRun(record.run, directory, record, condemned=True)):
                self._say_removed(f"the rest of {record.run}, whose removal was interrupted")
        here = self._remove_here(cache)
        if self.broker:
            self._remove_there(self.broker, here)

    def total(self) -> str:
        """What was removed, in words; empty if nothing was removed although something should have been."""
        if not self.removed:
            return "" if self.failed else "Nothing to remove."
        keys = f", {count(self.keys, 'key')} in the broker" if self.keys else ""
        return f"{'Would free' if self.dry_run else 'Freed'} {size(self.freed)} in {count(self.removed, 'run')}{keys}."

    def _remove_here(self, cache: Path) -> set[str]:
        local = list_runs(cache)
        for directory, record in local:
            if self._age_of(record) < self.older_than or directory.holder() is not None:
                continue
            if not self._is_wanted(record):
                self.kept += 1
                continue
            on_disk = disk_size(directory.path)
            if self._is_removed(FoundRun(record.run, directory, record)):
                state = "complete" if record.status == "complete" else "not complete"
                self._say_removed(f"{record.run} ({state}, {ago(self._age_of(record))}, {size(on_disk)})")
                self.freed += on_disk
        return {record.run for _, record in local}

    def _remove_there(self, broker: str, here: Collection[str]) -> None:
        old = old_at_broker(broker, self.older_than, unfinished=self.unfinished, here=here, complain=self.complain)
        for found in old:
            if self._is_removed(found):
                self._say_removed(f"{found.run_id} at the broker")

    def _is_removed(self, found: FoundRun) -> bool:
        try:
            self.keys += 0 if self.dry_run else remove_run(found, self.broker, self._is_wanted).keys or 0
        except PenstockError as error:
            self.complain(found.run_id, error)
            self.failed = self.failed or not isinstance(error, Fenced)
            return False
        return True

    def _say_removed(self, what: str) -> None:
        self.removed += 1
        self.say(f"{'would remove' if self.dry_run else 'removed'} {what}")

    def _age_of(self, record: RunRecord) -> float:
        return (self._now - record.updated).total_seconds()

    def _is_wanted(self, record: RunRecord) -> bool:
        return self._age_of(record) >= self.older_than and (self.unfinished or record.status == "complete")
