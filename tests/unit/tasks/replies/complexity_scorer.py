"""The replies to QualityScorer: both ask for the same form."""

from __future__ import annotations

from tests.unit.tasks.replies.quality_scorer import REPLIES as REPLIES
