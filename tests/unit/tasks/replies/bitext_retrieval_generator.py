"""Texts in a JSON object, of which there must be one."""

from __future__ import annotations

from tests.unit.tasks.replies.generate_text_retrieval_data import replies

REPLIES = replies("S1", "S2", "S3")
