"""Rows <-> bytes: msgpack, and nothing that could run code. Pure.

A payload is an array of rows; a row is a map, or nil for a hole: a row that failed and keeps its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgpack

from common.errors import RowError, RowTypeError, WireError

Row = dict[str, Any]
DATETIME = 1
"""Extension type of a datetime: its ISO 8601 text, so that a missing or fixed time zone survives."""
LEAST, GREATEST = -(2**63), 2**63 - 1
NESTED = (dict, list, tuple)
DEEPEST = 31
"""Levels of lists and dicts in a row, the row itself not counted: what all that read Parquet can read."""


def encode_rows(rows: Sequence[Row | None]) -> bytes:
    """Raises RowTypeError for the first value that rows cannot hold; see `check_row` to find out whose it is."""
    packer = msgpack.Packer(default=_extend)
    try:
        if not all(row is None or _fits(row, 0) for row in rows):
            raise ValueError("a value does not fit")
        packed: bytes = packer.pack(rows)
    except (TypeError, ValueError, OverflowError) as error:
        for row in rows:
            if row is not None:
                check_row(row)
        raise RowError(f"a row cannot be stored: {error}") from error
    return packed


def decode_rows(payload: bytes) -> list[Row | None]:
    """Raises WireError for bytes that no version of Penstock wrote."""
    try:
        rows = msgpack.unpackb(payload, object_hook=_with_text_keys, ext_hook=_restore, timestamp=3)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException, RecursionError) as error:
        raise WireError(f"a payload of {len(payload)} bytes is not msgpack: {error}") from error
    if not isinstance(rows, list) or not all(row is None or isinstance(row, dict) for row in rows):
        raise WireError(f"a payload of {len(payload)} bytes does not hold a list of rows")
    return rows


def check_row(row: object, limit: int | None = None) -> None:
    """Finds out whether one row can be stored.

    Args:
        limit: bytes that it may have.

    Raises:
        RowTypeError: with the column and the type of the first value that cannot.
        RowError: it is too large.
    """
    if not isinstance(row, dict):
        raise RowError(f"a step returned a {type(row).__name__} where a row (a dict) was expected")
    _check_value(row, "", 0)
    size = len(encode_rows([row])) if limit is not None else 0
    if limit is not None and size > limit:
        raise RowError(f"the row has {size} bytes; at most {limit} are allowed (PENSTOCK_ROW_BYTES)")


def _fits(value: dict[Any, Any] | list[Any] | tuple[Any, ...], depth: int) -> bool:
    """Looks for what msgpack would store although rows cannot hold it: other keys, unsigned ints, endless nesting."""
    if depth > DEEPEST:
        return False
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                return False
    for inner in value.values() if isinstance(value, dict) else value:
        kind = type(inner)
        if kind is str or kind is float:
            continue
        if isinstance(inner, int):
            if not LEAST <= inner <= GREATEST:
                return False
        elif isinstance(inner, NESTED) and not _fits(inner, depth + 1):
            return False
    return True


def _check_value(value: object, path: str, depth: int) -> None:
    if isinstance(value, NESTED) and depth > DEEPEST:
        raise RowTypeError(path[:80], type(value).__name__, f"nested more than {DEEPEST} deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise RowTypeError(_join(path, key), f"{type(key).__name__} as a key")
            _check_text(key, _join(path, key), "str as a key")
            _check_value(inner, _join(path, key), depth + 1)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            _check_value(inner, f"{path}[{place}]", depth + 1)
    elif isinstance(value, int):
        if not LEAST <= value <= GREATEST:
            raise RowTypeError(path, "int", "beyond 64 bits")
    elif isinstance(value, str):
        _check_text(value, path, "str")
    elif not isinstance(value, float | bytes | bytearray | memoryview | datetime | None):
        try:
            _check_value(_plain(value), path, depth)
        except TypeError:
            raise RowTypeError(path, f"{type(value).__module__}.{type(value).__qualname__}") from None


def _check_text(text: str, path: str, found: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowTypeError(path, found, f"not valid Unicode: {error.reason}") from None


def _join(path: str, key: object) -> str:
    shown = str(key).encode(errors="backslashreplace").decode()
    return f"{path}.{shown}" if path else shown


def _extend(value: object) -> object:
    plain = value if isinstance(value, datetime) else _plain(value)
    if isinstance(plain, datetime):
        if plain != plain:  # the missing datetime of pandas
            return None
        return msgpack.ExtType(DATETIME, plain.isoformat().encode())
    if not _fits([plain], 0):
        raise ValueError("a value does not fit")
    return plain


def _plain(value: object) -> object:
    """Scalars and arrays of numpy, by their protocol, so that numpy need not be imported."""
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        plain: object = value.tolist()
        if type(plain) is not type(value):
            return plain
    raise TypeError(f"rows cannot hold a {type(value).__qualname__}")


def _restore(code: int, data: bytes) -> object:
    if code != DATETIME:
        raise ValueError(f"unknown extension type {code}")
    return datetime.fromisoformat(data.decode())


def _with_text_keys(decoded: dict[Any, Any]) -> dict[str, Any]:
    for key in decoded:
        if type(key) is not str:
            raise ValueError(f"{key!r} is a key")
    return decoded
