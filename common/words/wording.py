"""Numbers, times and sizes in words."""

from __future__ import annotations

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def count(number: int, noun: str) -> str:
    """`1 row`, `2,000 rows`, `3 batches`."""
    plural = "" if number == 1 else "es" if noun.endswith(("ch", "sh", "s", "x")) else "s"
    return f"{number:,} {noun}{plural}"


def duration(seconds: float) -> str:
    """`12.3 s`, `4 min 05 s`, `2 h 13 min`, `3 d 4 h`."""
    if round(seconds, 1) < MINUTE:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def about(seconds: float) -> str:
    """An approximate time: `10 s`, `4 min`, `2 h 10 min`, `3 d`."""
    if seconds < MINUTE:
        return f"{max(5, round(seconds / 5) * 5)} s"
    if seconds < HOUR:
        return f"{round(seconds / MINUTE)} min"
    if seconds < DAY:
        tens = round(seconds % HOUR / MINUTE / 10) * 10
        return duration(seconds // HOUR * HOUR + tens * MINUTE)
    return f"{round(seconds / DAY)} d"


def ago(seconds: float) -> str:
    """How long ago: `just now`, `3 min ago`, `2 h ago`, `5 days ago`."""
    if seconds < MINUTE:
        return "just now"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min ago"
    if seconds < 2 * DAY:
        return f"{int(seconds // HOUR)} h ago"
    return f"{int(seconds // DAY)} days ago"


def size(number: float) -> str:
    """Bytes, in powers of 1000: `0 bytes`, `12.3 MB`."""
    from rich.filesize import decimal

    return decimal(int(number))
