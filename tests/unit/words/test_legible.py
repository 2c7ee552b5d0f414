"""Rows that cannot be stored are stored so that people can read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from common.protocol.codec import encode_rows
from common.protocol.legible import legible


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (2**63, "9223372036854775808"),
        ([1, 2**64, {"a": -(2**70)}], [1, "18446744073709551616", {"a": "-1180591620717411303424"}]),
        ({1, 2}, "{1, 2}"),
        ("\ud800", "\\ud800"),
        ({1: "a"}, {"1": "a"}),
        (Odd(), "Odd without a text: RuntimeError"),
        (datetime(2024, 1, 1), datetime(2024, 1, 1)),
        (None, None),
    ],
    ids=lambda value: ascii(type(value)),
)
def test_what_rows_cannot_hold_becomes_text_and_all_else_stays(value: Any, kept: Any) -> None:
    row = legible({"answer": "paid", "odd": value})
    assert row == {"answer": "paid", "odd": kept}
    encode_rows([row])


def test_deep_and_long_values_are_cut() -> None:
    row = legible({"deep": deep(60), "long": {"x" * 100_000}, 1: 1})
    encode_rows([row])
    assert len(row["long"]) == 10_000
    assert row["1"] == 1
