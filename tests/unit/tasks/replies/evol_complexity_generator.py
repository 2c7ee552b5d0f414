"""As for `EvolInstructGenerator`."""

from __future__ import annotations

from tests.unit.tasks.replies.evol_instruct_generator import REPLIES as REPLIES
