"""Reads one cell of a row, with errors that say what it holds instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import RowError


def cell_of(row: Mapping[str, Any], column: str) -> Any:
    """Raises RowError if the column is missing."""
    try:
        return row[column]
    except KeyError:
        raise RowError(f"the row has no column '{column}'; it has {', '.join(map(repr, row)) or 'none'}") from None


def text_of(row: Mapping[str, Any], column: str) -> str:
    """Raises RowError if the column is missing or does not hold text."""
    value = cell_of(row, column)
    if not isinstance(value, str):
        raise RowError(f"column '{column}' holds {kind_of(value)} where text is expected")
    return value


def words_of(row: Mapping[str, Any], column: str) -> str:
    """Raises RowError if the column is missing, does not hold text, or holds only white space."""
    value = text_of(row, column)
    if not value.strip():
        raise RowError(f"column '{column}' holds {blank(value)} where words are expected")
    return value


def blank(value: str) -> str:
    """Describes a text without words, for a message."""
    return "an empty text" if not value else "nothing but white space"


def list_of(row: Mapping[str, Any], column: str) -> list[Any]:
    """Raises RowError if the column is missing or does not hold a list."""
    value = cell_of(row, column)
    if not isinstance(value, list | tuple):
        raise RowError(f"column '{column}' holds {kind_of(value)} where a list is expected")
    return list(value)


def kind_of(value: Any) -> str:
    """Describes a value, for a message."""
    return "None" if value is None else f"a value of type {type(value).__name__}"
