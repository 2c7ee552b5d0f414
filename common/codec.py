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
INT64 = range(-(2**63), 2**63)
NESTED = (dict, list, tuple)


def encode_rows(rows: Sequence[Row | None]) -> bytes:
    """Raises RowTypeError for the first value that rows cannot hold; see `check_row` to find out whose it is."""
    for row in rows:
        if row is not None:
            _check_keys(row, "")
    packer = msgpack.Packer(default=_extend)
    try:
        packed: bytes = packer.pack(rows)
    except RowTypeError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        for row in rows:
            if row is not None:
                check_row(row)
        raise RowError(f"a row cannot be stored: {error}") from error
    return packed


def decode_rows(payload: bytes) -> list[Row | None]:
    """Raises WireError for bytes that no version of Penstock wrote."""
    try:
        rows = msgpack.unpackb(payload, ext_hook=_restore, strict_map_key=True)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
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


def _check_keys(value: object, path: str) -> None:
    """Maps must have string keys, which msgpack does not ask for when it packs."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise RowTypeError(_join(path, key), f"{type(key).__name__} as a key")
            if isinstance(inner, NESTED):
                _check_keys(inner, _join(path, key))
    elif isinstance(value, NESTED):
        for place, inner in enumerate(value):
            if isinstance(inner, NESTED):
                _check_keys(inner, f"{path}[{place}]")


def _check_value(value: object, path: str, depth: int) -> None:
    if depth > 100:
        raise RowTypeError(path[:80], type(value).__name__, "nested more than 100 deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise RowTypeError(_join(path, key), f"{type(key).__name__} as a key")
            _check_value(inner, _join(path, key), depth + 1)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            _check_value(inner, f"{path}[{place}]", depth + 1)
    elif isinstance(value, int) and value not in INT64:
        raise RowTypeError(path, "int", "beyond 64 bits")
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise RowTypeError(path, "str", f"not valid Unicode: {error.reason}") from None
    elif not isinstance(value, bool | int | float | bytes | datetime | None):
        try:
            _check_value(_plain(value), path, depth + 1)
        except TypeError:
            raise RowTypeError(path, f"{type(value).__module__}.{type(value).__qualname__}") from None


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _extend(value: object) -> object:
    if isinstance(value, datetime):
        return msgpack.ExtType(DATETIME, value.isoformat().encode())
    return _plain(value)


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
