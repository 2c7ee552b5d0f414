"""As for `EvolInstruct`."""

from __future__ import annotations

from tests.unit.tasks.replies.evol_instruct import REPLIES as REPLIES
