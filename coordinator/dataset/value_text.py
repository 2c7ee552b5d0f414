"""Converts values to text, for a column with values of several types.

A value has one text form, whether it comes from its row or from a part that holds it in the earlier type of its column:
a whole float is written as an int (a part may hold either), a time with a time zone in UTC, a decimal without trailing
zeros, and a dict with its keys sorted and without those that are None, which a part does not tell from missing ones.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

_WHOLE_FLOAT: Final = 2**53
"""Up to this magnitude, a float stands for one int."""


def text_of(value: Any) -> str:
    """Text stays as it is; times are in ISO 8601; everything else is JSON."""
    if isinstance(value, str):
        return value
    return _scalar_text(value) or json.dumps(_plain(value), ensure_ascii=False, sort_keys=True)


def _plain(value: Any) -> Any:
    """The JSON form; times, and decimals that are not whole, are strings."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        is_whole = (
            value.is_integer() and abs(value) <= _WHOLE_FLOAT and not (value == 0 and math.copysign(1, value) < 0)
        )
        return int(value) if is_whole else value
    text = _scalar_text(value)
    if isinstance(value, Decimal) and "." not in text:
        return int(text)  # like an int in a column of decimals
    return text or value


def _scalar_text(value: Any) -> str:
    """Empty for types that JSON has."""
    if isinstance(value, datetime):
        return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, Decimal):
        text = format(value, "f") if value else "0"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return ""


def _duration(value: timedelta) -> str:
    microseconds = (value.days * 86_400 + value.seconds) * 10**6 + value.microseconds
    nanoseconds = microseconds * 1_000 + getattr(value, "nanoseconds", 0)  # pandas durations have them
    seconds, rest = divmod(abs(nanoseconds), 10**9)
    behind = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{'-' if nanoseconds < 0 else ''}PT{seconds}{behind}S"
