"""How a run is doing, in the words of its hash in the broker and of its run directory."""

from __future__ import annotations

from typing import Literal, get_args

EndStatus = Literal["complete", "stopped", "halted", "failed"]
"""How an execution of it has ended."""
RunStatus = Literal["starting", "running", EndStatus]

ENDED: frozenset[str] = frozenset(get_args(EndStatus))
"""In these there is nothing for a worker to do."""
UNDER_WAY: frozenset[str] = frozenset({"starting", "running"})
"""In these workers serve it, as long as somebody coordinates it."""
