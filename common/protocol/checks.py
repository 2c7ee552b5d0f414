"""Checks of values that were read from the broker, where anyone may have written anything. Pure.

Each returns the value as the type that it must have, or raises ValueError with words for an error message.
"""

from __future__ import annotations

from typing import Any

GREATEST_COUNT = 2**53
"""Largest count that is read, or written."""
_SHOWN = 80


def shown(value: object) -> str:
    """For an error message: anyone who can write to the broker decides its length and content."""
    text, most = (str(value), 4 * _SHOWN) if isinstance(value, Exception) else (repr(value), _SHOWN)
    return text if len(text) <= most else f"{text[:most]}..."


def as_count(value: Any) -> int:
    """A whole number from 0 to `GREATEST_COUNT`."""
    if type(value) is not int or not 0 <= value <= GREATEST_COUNT:
        raise ValueError(f"{shown(value)} is not a count")
    return value


def as_text(value: Any) -> str:
    """Text."""
    if type(value) is not str:
        raise ValueError(f"{type(value).__name__} is not text")
    return value


def as_bytes(value: Any) -> bytes:
    """Bytes."""
    if type(value) is not bytes:
        raise ValueError(f"{type(value).__name__} is not bytes")
    return value


def as_bool(value: Any) -> bool:
    """True or False."""
    if type(value) is not bool:
        raise ValueError(f"{shown(value)} is not a truth value")
    return value


def as_list(value: Any, of: str = "") -> list[Any]:
    """A list; `of` says in the error what of."""
    if type(value) is not list:
        raise ValueError(f"{type(value).__name__} is not a list{f' of {of}' if of else ''}")
    return value
