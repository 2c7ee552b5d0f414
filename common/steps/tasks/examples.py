"""What a task shows of itself: a row, what a model replies to its prompt, and the columns that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """One use of a task. The page about built-in steps shows it, and a test plays it.

    Args:
        row: as it comes in.
        reply: of the model; several of a task that asks more than once for a row.
        made: the columns that the task adds, without `model_name`.
        parameters: of the task, other than its `llm`.
    """

    row: Mapping[str, Any]
    reply: str | Sequence[str]
    made: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
