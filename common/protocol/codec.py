"""Rows <-> bytes: msgpack, which cannot run code. Pure.

A payload is an array of rows; a row is a map, or nil for a hole: a row that failed and keeps its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import MAXYEAR, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgpack

from common.errors import RowError, RowTooLarge, RowTypeError, WireError

Row = dict[str, Any]
DATETIME = 1
"""Extension type of a datetime: its ISO 8601 text, so that a missing or fixed time zone survives."""
DATE, TIME, DURATION, DECIMAL, NANOSECONDS = 2, 3, 4, 5, 6
"""Extension types, all as text: ISO 8601, the nanoseconds of a duration, digits, a datetime with nanoseconds."""
EXTENDED = (date, time, timedelta, Decimal)
LEAST, GREATEST = -(2**63), 2**63 - 1
NESTED = (dict, list, tuple)
DEEPEST = 31
"""Levels of lists and dicts in a row, not counting the row itself: every Parquet reader can read these."""


def encode_rows(rows: Sequence[Row | None]) -> bytes:
    """Raises RowTypeError for the first value that rows cannot hold; `check_row` tells which row it is in."""
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
    """Raises WireError for bytes that Penstock did not write."""
    try:
        rows = msgpack.unpackb(payload, object_hook=_with_text_keys, ext_hook=_restore, timestamp=3)
    except (ValueError, TypeError, ArithmeticError, msgpack.UnpackException, RecursionError) as error:
        raise WireError(f"a payload of {len(payload)} bytes is not msgpack: {error}") from error
    if not isinstance(rows, list) or not all(row is None or isinstance(row, dict) for row in rows):
        raise WireError(f"a payload of {len(payload)} bytes does not hold a list of rows")
    return rows


def check_row(row: object, limit: int | None = None) -> None:
    """Checks that one row can be stored.

    Args:
        limit: most bytes that it may have.

    Raises:
        RowTypeError: with the column and the type of the first value that cannot.
        RowTooLarge
    """
    if not isinstance(row, dict):
        raise RowError(f"a step returned a {type(row).__name__} where a row (a dict) was expected")
    _check_value(row, "", 0)
    size = len(encode_rows([row])) if limit is not None else 0
    if limit is not None and size > limit:
        raise RowTooLarge(f"the row has {size} bytes; at most {limit} are allowed (PENSTOCK_ROW_BYTES)")


def _fits(value: dict[Any, Any] | list[Any] | tuple[Any, ...], depth: int) -> bool:
    """Finds values that msgpack would store but rows cannot hold: other keys, unsigned ints, endless nesting."""
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
    elif isinstance(value, datetime) and value == value and value.year > MAXYEAR:
        raise RowTypeError(path, "datetime", f"beyond the year {MAXYEAR}")
    elif isinstance(value, time) and value.tzinfo is not None:
        raise RowTypeError(path, "time", "with a time zone")
    elif not isinstance(value, float | bytes | bytearray | memoryview | date | time | timedelta | Decimal | None):
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
    plain = value if isinstance(value, EXTENDED) else _plain(value)
    if isinstance(plain, EXTENDED):
        return _extended(plain)
    if not _fits([plain], 0):
        raise ValueError("a value does not fit")
    return plain


def _extended(value: date | time | timedelta | Decimal) -> msgpack.ExtType | None:
    if isinstance(value, datetime):
        if value != value:  # pandas' missing datetime
            return None
        if value.year > MAXYEAR:  # pandas allows that
            raise ValueError(f"a datetime beyond the year {MAXYEAR}")
        # Python's datetimes are limited to microseconds, pandas' are not.
        return _text(NANOSECONDS if getattr(value, "nanosecond", 0) else DATETIME, value.isoformat())
    if isinstance(value, date):
        return _text(DATE, value.isoformat())
    if isinstance(value, time):
        if value.tzinfo is not None:
            raise ValueError("a time with a time zone")
        return _text(TIME, value.isoformat())
    if isinstance(value, Decimal):
        return _text(DECIMAL, str(value))
    microseconds = (value.days * 86_400 + value.seconds) * 10**6 + value.microseconds
    return _text(DURATION, str(microseconds * 1_000 + getattr(value, "nanoseconds", 0)))


def _text(code: int, text: str) -> msgpack.ExtType:
    return msgpack.ExtType(code, text.encode())


def _plain(value: Any) -> object:
    """Scalars and arrays of numpy, by protocol, without importing numpy."""
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        if value.dtype.kind in "mM":
            return _plain_times(value)
        plain: object = value.tolist()
        if type(plain) is not type(value):
            return plain
    raise TypeError(f"rows cannot hold a {type(value).__qualname__}")


def _plain_times(value: Any) -> object:
    """Datetimes and durations of numpy. `tolist` would silently turn those with nanoseconds into ints."""
    if value.ndim:
        return [_plain_times(each) for each in value]
    if value != value:
        return None
    if "[" not in value.dtype.str:
        raise TypeError("rows cannot hold a duration without a unit")
    plain: object = value.tolist()
    if not isinstance(plain, int):
        return plain
    rounded = value.astype(f"{value.dtype.kind}8[us]")
    if rounded == value and not isinstance(rounded.tolist(), int):
        return rounded.tolist()
    import pandas as pd

    try:
        exact: Any = pd.Timestamp(value) if value.dtype.kind == "M" else pd.Timedelta(value)
    except (ValueError, OverflowError):
        raise TypeError("rows cannot hold times so far away") from None
    if exact.to_numpy() != value:
        raise TypeError("rows cannot hold times finer than nanoseconds")
    return exact


def _restore(code: int, data: bytes) -> object:
    text = data.decode()
    if code == DATETIME:
        return datetime.fromisoformat(text)
    if code == DATE:
        return date.fromisoformat(text)
    if code == TIME:
        return time.fromisoformat(text)
    if code == DECIMAL:
        return Decimal(text)
    if code == DURATION:
        microseconds, nanoseconds = divmod(int(text), 1_000)
        if not nanoseconds:
            return timedelta(microseconds=microseconds)
        import pandas as pd

        return pd.Timedelta(int(text), "ns")
    if code == NANOSECONDS:
        import pandas as pd

        return pd.Timestamp(text)
    raise ValueError(f"unknown extension type {code}")


def _with_text_keys(decoded: dict[Any, Any]) -> dict[str, Any]:
    for key in decoded:
        if type(key) is not str:
            raise ValueError(f"{key!r} is a key")
    return decoded
