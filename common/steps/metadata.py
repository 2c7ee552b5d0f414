"""What a pipeline with `enable_metadata` keeps of each row, beside the columns: one column, for all steps together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from common.errors import RowError

if TYPE_CHECKING:
    from common.llms.base import ChatMessage, Generation
    from common.steps.base import Row

METADATA = "distilabel_metadata"
"""The column: a mapping with `raw_input_<step>`, `raw_output_<step>` and `statistics_<step>` of each task."""


def task_metadata(
    step: str, messages: Sequence[ChatMessage] | None, answers: Sequence[Generation], *, raw_output: bool, grouped: bool
) -> dict[str, Any]:
    """What a task has to say about one row.

    Args:
        messages: what the model was asked; None to leave it out.
        raw_output: keep what it answered.
        grouped: the row stands for all answers, so that there are lists of texts and of token counts.
    """
    texts = [answer.text for answer in answers]
    tokens = {
        "input_tokens": [answer.input_tokens for answer in answers],
        "output_tokens": [answer.output_tokens for answer in answers],
    }
    return {
        **({f"raw_input_{step}": list(messages)} if messages is not None else {}),
        **({f"raw_output_{step}": texts if grouped else texts[0]} if raw_output else {}),
        f"statistics_{step}": tokens if grouped else {name: counts[0] for name, counts in tokens.items()},
    }


def with_metadata(row: Row, found: Mapping[str, Any]) -> dict[str, Any]:
    """The column of a row, with what was in it before.

    Raises:
        RowError: the row has a column of that name that is something else.
    """
    before = row.get(METADATA) or {}
    if not isinstance(before, dict):
        raise RowError(
            f"column '{METADATA}' holds a {type(before).__name__}; enable_metadata needs the name for its own column, "
            "so call this one otherwise"
        )
    return {METADATA: {**before, **found}}


def join_metadata(rows: Iterable[Row]) -> dict[str, Any]:
    """The column of a row that several rows are joined into: what each has; empty where none has it."""
    columns = [row[METADATA] for row in rows if METADATA in row]
    mappings = [column for column in columns if isinstance(column, dict)]
    if len(mappings) < 2 or any(column is not None and not isinstance(column, dict) for column in columns):
        return {}
    return {METADATA: {name: value for mapping in mappings for name, value in mapping.items()}}
