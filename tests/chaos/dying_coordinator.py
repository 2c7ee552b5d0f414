"""`pipeline-coordinator` that kills itself at an effect: `dying_coordinator.py EFFECT N WHEN COUNTS arguments...`.

EFFECT is a script that it calls at the broker (`dispatch`) or a change that it makes to files below the cache
(`os.rename`). WHEN is `before` or `after` the N-th one; every change of a file is before the next one, so that
`before` is enough there. The effects that it came to are counted in the file COUNTS.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.broker.connection import Call, Connection
from coordinator.cli import main

FILE_EFFECTS = ("open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")


class Death:
    """Counts effects and dies at one of them."""

    def __init__(self, effect: str, number: int, when: str, counts: Path) -> None:
        self._mark = (effect, number, when)
        self._counts = counts
        self._seen: Counter[str] = Counter()

    def come_to(self, effect: str) -> None:
        """Before the effect."""
        self._seen[effect] += 1
        self._die_at(effect, "before")

    def have_done(self, effect: str) -> None:
        """After it."""
        self._die_at(effect, "after")

    def _die_at(self, effect: str, when: str) -> None:
        if (effect, self._seen[effect], when) == self._mark:
            os.kill(os.getpid(), signal.SIGKILL)

    def write(self) -> None:
        """The effects that there were, to choose from the next time."""
        self._counts.write_text(json.dumps(self._seen))


def watch_scripts(death: Death) -> None:
    """Calls that go together are sent one by one, so that it can die between any two of them."""
    send = Connection.batch

    def batch(self: Connection, calls: Sequence[Any]) -> list[Any]:
        replies: list[Any] = []
        for call in calls:
            name = call.script if isinstance(call, Call) else ""
            if name:
                death.come_to(name)
            replies += send(self, [call])
            if name:
                death.have_done(name)
        return replies

    Connection.batch = batch  # type: ignore[method-assign]


def watch_files(death: Death, cache: str) -> None:
    """Python tells of every change to a file before it is made."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in FILE_EFFECTS or not str(arguments[0]).startswith(cache):
            return
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        death.come_to(event)

    sys.addaudithook(hook)


if __name__ == "__main__":
    effect, number, when, counts, *rest = sys.argv[1:]
    death = Death(effect, int(number), when, Path(counts))
    watch_scripts(death)
    watch_files(death, os.environ["PENSTOCK_CACHE_DIR"])
    sys.argv = ["pipeline-coordinator", *rest]
    try:
        main()
    finally:
        death.write()
