"""The state of a run as published by its coordinator: the current view, and a history in two resolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.broker.connection import Connection
from common.broker.held import holders
from common.protocol.fields import number
from common.protocol.keys import GROUP, HISTORIES, Keys


@dataclass(frozen=True, slots=True)
class Published:
    """A message of a coordinator.

    Args:
        age: seconds since it was published, by the broker's clock.
    """

    message: bytes
    age: float


class Views:
    """Publishes and reads the views of a run. Views are bytes here; `coordinator/view/view_codec.py` reads them."""

    def __init__(self, connection: Connection, run_id: str) -> None:
        self.keys = Keys(run_id)
        self._connection = connection

    def publish(self, epoch: str, view: bytes, point: bytes, resolutions: Sequence[int], expires: float = 0.0) -> bool:
        """Replaces the view, and adds the point to histories.

        Args:
            resolutions: of the histories to add it to, see `HISTORIES`; at least one.
            expires: seconds after which everything expires, if the run is complete; 0 for never.

        Returns:
            False if another coordinator has the run; nothing is written then.
        """
        histories = [self.keys.history(resolution) for resolution in resolutions]
        lengths = [HISTORIES[resolution] for resolution in resolutions]
        keys = [self.keys.run, self.keys.view, *histories]
        return bool(self._connection.call("publish_view", keys, epoch, view, point, round(expires * 1000), *lengths))

    def read(self) -> Published | None:
        """The last view; None if the run has not begun, or is of an older version."""
        view, now = self._connection.batch([("HMGET", self.keys.view, "m", "at"), ("TIME",)])
        if isinstance(view, Exception):
            raise view
        message, at = view
        return None if message is None else Published(message, _age(now, number(at, "at")))

    def history(self, resolution: int) -> list[Published]:
        """Earlier views, oldest first.

        Args:
            resolution: seconds between two entries, see `HISTORIES`.
        """
        entries, now = self._connection.batch([("XRANGE", self.keys.history(resolution), "-", "+"), ("TIME",)])
        if isinstance(entries, Exception):
            raise entries
        return [Published(fields.get(b"m", b""), _age(now, int(entry.partition(b"-")[0]))) for entry, fields in entries]

    def in_hand(self, steps: Sequence[str]) -> Mapping[str, int]:
        """Entries per worker, taken but not committed; workers without any are omitted."""
        replies = self._connection.batch([("XPENDING", self.keys.inputs(step), GROUP) for step in steps])
        return {
            worker: entries
            for reply in replies
            if isinstance(reply, dict)
            for worker, entries in holders(reply).items()
        }


def _age(now: tuple[int, int], at: int) -> float:
    """A clock that was set back, or a replica's clock, may be behind."""
    seconds, micros = now
    return max(0.0, seconds + micros / 1e6 - at / 1000)
