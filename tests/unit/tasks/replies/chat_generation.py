"""Any text is an answer of a model that is asked for text."""

from __future__ import annotations

from tests.support.tasks.replies import kept_as_it_is

REPLIES = kept_as_it_is("messages")
