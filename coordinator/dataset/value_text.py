"""Values as text, for a column whose rows hold values of several types.

A value has one text, whether it comes from its row or from a part that holds it by the type that its column had before:
a whole float is written as an int (a part may hold either), a time with a time zone in UTC, a decimal without zeros at
its end, and a dict with its keys in order and without those that are None, which are as good as missing in a part.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

_WHOLE_FLOAT: Final = 2**53
"""Up to here a float stands for one int."""


def text_of(value: Any) -> str:
    """A text is itself; times are in ISO 8601; all else is JSON."""
    if isinstance(value, str):
        return value
    return _scalar_text(value) or json.dumps(_plain(value), ensure_ascii=False, sort_keys=True)


def _plain(value: Any) -> Any:
    """As JSON has it; times, and decimals that are not whole, are strings there."""
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
        return int(text)  # as an int in a column of decimals
    return text or value


def _scalar_text(value: Any) -> str:
    """Empty for what JSON has a word for."""
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
    nanoseconds = microseconds * 1_000 + getattr(value, "nanoseconds", 0)  # of a duration of pandas
    seconds, rest = divmod(abs(nanoseconds), 10**9)
    behind = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{'-' if nanoseconds < 0 else ''}PT{seconds}{behind}S"
