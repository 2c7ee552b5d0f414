"""The status of a run, as in its hash in the broker and in its run directory."""

from __future__ import annotations

from typing import Literal, get_args

EndStatus = Literal["complete", "stopped", "halted", "failed"]
"""How an execution has ended."""
RunStatus = Literal["starting", "running", EndStatus]

ENDED: frozenset[str] = frozenset(get_args(EndStatus))
"""In these, workers have nothing to do."""
UNDER_WAY: frozenset[str] = frozenset({"starting", "running"})
"""In these, workers serve the run while it has a coordinator."""
