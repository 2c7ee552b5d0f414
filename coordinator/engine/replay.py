"""Reads the journal of a run from its start, as a takeover does."""

from __future__ import annotations

from collections.abc import Iterator

from common.broker.journal import Journal, Journaled
from common.errors import RunError

REPLAYED_AT_ONCE = 1_000


def replay(journal: Journal, end: int) -> Iterator[list[Journaled]]:
    """The entries up to position `end`, and any added since, many at a time.

    Raises:
        RunError: the broker has lost some of them.
        WireError: one of them was not written by Penstock.
    """
    position = 0
    while position < end:
        entries = journal.read(position, REPLAYED_AT_ONCE)
        if not entries:
            raise RunError(
                f"the journal of run '{journal.run_id}' ends with entry {position} instead of {end}: the broker lost "
                "data; start over with --fresh"
            )
        position = entries[-1].position
        yield entries
