"""The journal of a run of the fold."""

from __future__ import annotations

from common.protocol.batch import Entry


class Journal:
    """Every entry so far, and how many of them a coordinator has applied."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._applied = 0

    @property
    def applied(self) -> list[Entry]:
        return self.entries[: self._applied]

    @property
    def is_applied(self) -> bool:
        return self._applied == len(self.entries)

    def append(self, entry: Entry) -> None:
        self.entries.append(entry)

    def next(self) -> Entry:
        """The first entry that is not applied; it is from now on."""
        self._applied += 1
        return self.entries[self._applied - 1]
