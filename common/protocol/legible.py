"""Rows that cannot be stored, in a form that people can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import RowError
from common.protocol.codec import Row, check_row

_LONGEST = 10_000
"""Most characters of a value that rows cannot hold."""
_DEEPEST = 30


def legible(row: Mapping[Any, Any]) -> Row:
    """The row, with text instead of each value that rows cannot hold."""
    return {_text(key): _legible(value, 1) for key, value in row.items()}


def _legible(value: object, depth: int) -> object:
    try:
        if depth <= _DEEPEST:
            if isinstance(value, dict):
                return {_text(key): _legible(inner, depth + 1) for key, inner in value.items()}
            if isinstance(value, list | tuple):
                return [_legible(inner, depth + 1) for inner in value]
            check_row({"value": value})
            return value
    except RowError:
        pass
    return _text(value)


def _text(value: object) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception as error:  # an error of the value's own class
        text = f"{type(value).__name__} without a text: {type(error).__name__}"
    return text[:_LONGEST].encode(errors="backslashreplace").decode()
