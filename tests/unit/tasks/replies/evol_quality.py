"""The rewritten text stands between its tags, once."""

from __future__ import annotations

from tests.unit.tasks.replies.evol_instruct import replies

REPLIES = replies("new_response", "evolved_response", "Vega.")
