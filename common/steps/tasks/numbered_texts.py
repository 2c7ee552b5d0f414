"""The texts that a judge is given, with the numbers by which it speaks of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from common.cells import blank, kind_of, list_of
from common.errors import RowError
from common.steps.base import Row


def texts_of(row: Row, column: str, count: int | None = None) -> list[str]:
    """The texts of a column, each with words.

    Args:
        count: of texts that there must be; None for any but 0.

    Raises:
        RowError: the column holds something else.
    """
    values = list_of(row, column)
    if len(values) != count if count is not None else not values:
        expected = "at least one is" if count is None else f"{count} are"
        raise RowError(f"column '{column}' holds {len(values)} texts where {expected} expected")
    for index, value in enumerate(values):
        if not isinstance(value, str):
            raise RowError(f"{column}[{index}] holds {kind_of(value)} where text is expected")
        if not value.strip():
            raise RowError(f"{column}[{index}] holds {blank(value)} where words are expected")
    return values


def texts_between_tags(texts: Sequence[str]) -> str:
    """The texts between tags `<text_1>` and so on."""
    return "\n\n".join(f"<text_{number}>\n{text}\n</text_{number}>" for number, text in enumerate(texts, 1))


def texts_after_numbers(texts: Sequence[str]) -> str:
    """The texts after their numbers: `[1] ...`."""
    return "\n\n".join(f"[{number}] {text}" for number, text in enumerate(texts, 1))
