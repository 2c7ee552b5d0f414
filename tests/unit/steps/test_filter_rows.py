"""FilterRows: the rows of which an expression is true stay, and errors name the columns at fault."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.errors import RowError
from common.steps import FilterRows
from common.steps.base import Row
from worker.runners.attempts import call_step

OPERATORS = {"<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt}


def kept(rows: list[Row], condition: str, **parameters: Any) -> list[Row]:
    return call_step(FilterRows(condition=condition, **parameters), [rows])


@given(scores=st.lists(st.integers(-3, 3)), sign=st.sampled_from(sorted(OPERATORS)), bound=st.integers(-3, 3))
def test_the_rows_that_stay_are_those_of_which_it_is_true_in_order(scores: list[int], sign: str, bound: int) -> None:
    rows = [{"id": number, "score": score} for number, score in enumerate(scores)]
    expected = [row for row in rows if OPERATORS[sign](row["score"], bound)]
    assert kept(rows, f"score {sign} {bound}") == expected


def test_a_condition_has_operators_filters_and_tests() -> None:
    rows = [{"text": "long enough", "tags": ["a"], "note": None}, {"text": "short", "tags": [], "note": "n"}]
    assert kept(rows, "text | length > 6 and 'a' in tags") == rows[:1]
    assert kept(rows, "note is none or text.startswith('s')") == rows
    odd = [{"my column": 4}, {"my column": 3}]
    assert kept(odd, "result > 3", input_mappings={"result": "my column"}) == odd[:1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"language": "en"}, "column 'score' is missing"),
        ({"score": None, "language": "en"}, "column 'score' is None"),
        ({"score": "5", "language": "en"}, "column 'score' holds a value of type str"),
    ],
)
def test_a_row_of_which_it_cannot_be_computed_fails_and_says_which_column(row: Row, message: str) -> None:
    with pytest.raises(RowError, match=message):
        kept([row], "score >= 4 and language == 'en'")


def test_rows_that_lack_a_column_are_dropped_or_kept_on_request_and_wrong_types_still_fail() -> None:
    rows: list[Row] = [{"score": None}, {}, {"score": 5}, {"score": 1}]
    assert kept(rows, "score >= 4", on_missing="drop") == [{"score": 5}]
    assert kept(rows, "score >= 4", on_missing="keep") == rows[:3]
    with pytest.raises(RowError, match="holds a value of type str"):
        kept([{"score": "5"}], "score >= 4", on_missing="drop")


def test_a_value_that_is_neither_true_nor_false_fails() -> None:
    with pytest.raises(RowError, match="a value of type int, neither true nor false"):
        kept([{"score": 1}], "score")


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("score >", "'score >' is not an expression over columns"),
        ("a }} {{ b", "is not an expression over columns"),
        ("1 > 0", "uses no column"),
        ("(" * 2_000 + "a" + ")" * 2_000, "nested too deeply"),
        ("a" * 10_001, "at most 10,000 characters"),
    ],
    ids=["broken", "two", "constant", "deep", "long"],
)
def test_a_condition_that_is_no_expression_is_refused_at_once(condition: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FilterRows(condition=condition)


def test_a_condition_reaches_nothing_of_python_and_ends_soon() -> None:
    for condition in ("text.__class__ == 1", "(text * 9999999) | length > 1", "range(10**9) | length > text | length"):
        with pytest.raises(RowError):
            kept([{"text": "abc"}], condition)
    assert FilterRows(condition="score > 1").inputs == {"score": True}
    assert FilterRows(condition="score > 1", on_missing="keep").inputs == {"score": False}
