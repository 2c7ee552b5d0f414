"""What a pipeline with `enable_metadata` records about each row: one column, shared by all steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from common.errors import RowError

if TYPE_CHECKING:
    from common.steps.base import Row

METADATA = "distilabel_metadata"
"""The column: a mapping with `raw_input_<step>`, `raw_output_<step>` and `statistics_<step>` of each task."""


def with_metadata(row: Row, found: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata column of a row, merged with its previous content.

    Raises:
        RowError: the row has another column of that name.
    """
    before = row.get(METADATA) or {}
    if not isinstance(before, dict):
        raise RowError(
            f"column '{METADATA}' holds a {type(before).__name__}; enable_metadata needs the name for its own column, "
            "so rename this one"
        )
    return {METADATA: {**before, **found}}


def join_metadata(rows: Iterable[Row]) -> dict[str, Any]:
    """The metadata column of a row joined from several: the content of all; empty if none has any."""
    columns = [row[METADATA] for row in rows if METADATA in row]
    mappings = [column for column in columns if isinstance(column, dict)]
    if len(mappings) < 2 or any(column is not None and not isinstance(column, dict) for column in columns):
        return {}
    return {METADATA: {name: value for mapping in mappings for name, value in mapping.items()}}
