"""SampleColumns and SampleRows: what is drawn, that it is drawn again, and what is refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.errors import RowError
from common.steps import SampleColumns, SampleRows
from common.steps.base import Row
from worker.runners.attempts import call_step

ALL: dict[str, Any] = {
    "topic": {"draw": "category", "values": ["sport", "art"], "weights": [1, 3]},
    "detail": {"draw": "subcategory", "of": "topic", "values": {"sport": ["tennis"], "art": ["film", "dance"]}},
    "share": {"draw": "uniform", "low": 1, "high": 2, "decimals": 2},
    "height": {"draw": "gaussian", "mean": 170, "std": 10},
    "age": {"draw": "integer", "low": 18, "high": 20},
    "day": {"draw": "date", "first": "2026-01-30", "last": "2026-02-02"},
    "name": {"draw": "person"},
    "team": {"draw": "category", "values": ["red"], "when": "topic == 'sport'"},
}


def sampled(rows: list[Row], columns: dict[str, Any] = ALL, **parameters: Any) -> list[Row]:
    return call_step(SampleColumns(columns=columns, **parameters), [rows])


def made(num_rows: int, offset: int = 0, **parameters: Any) -> list[Row]:
    step = SampleRows(columns=ALL, num_rows=num_rows, batch_size=7, **parameters)
    return [row for rows, _ in step.process(offset) for row in rows]


def test_what_is_drawn_keeps_to_its_limits_weights_and_conditions() -> None:
    rows = made(2_000)
    topics = Counter(row["topic"] for row in rows)
    assert 1_400 < topics["art"] < 1_600
    assert {(row["topic"], row["detail"]) for row in rows} == {("sport", "tennis"), ("art", "film"), ("art", "dance")}
    assert all(1 <= row["share"] <= 2 and row["share"] == round(row["share"], 2) for row in rows)
    assert {row["age"] for row in rows} == {18, 19, 20}
    assert {row["day"] for row in rows} == {"2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02"}
    assert 169 < sum(row["height"] for row in rows) / len(rows) < 171
    assert len({row["name"] for row in rows}) > 500
    assert {(row["topic"], row["team"]) for row in rows} == {("sport", "red"), ("art", None)}


@given(size=st.integers(1, 30), seed=st.integers(-5, 5))
def test_draws_depend_on_the_row_and_the_seed_not_on_the_batch(size: int, seed: int) -> None:
    rows = [{"id": number} for number in range(20)]
    parts = [rows[start : start + size] for start in range(0, 20, size)]
    whole = sampled(rows, seed=seed)
    assert [row for part in parts for row in sampled(part, seed=seed)] == whole
    assert sampled(rows, seed=seed + 1) != whole


def test_a_generator_continues_anywhere_and_a_longer_one_begins_with_the_same_rows() -> None:
    assert made(40)[13:] == made(40, offset=13)
    assert made(90)[:40] == made(40)
    assert made(40, seed=1) != made(40)


def test_only_the_columns_of_by_count() -> None:
    first, second = sampled([{"id": 1, "text": "a"}, {"id": 1, "text": "b"}], by=["id"])
    assert {**first, "text": "b"} == second
    first, second = sampled([{"id": 1, "text": "a"}, {"id": 1, "text": "b"}])
    assert first["name"] != second["name"]
    (first,), (second,) = sampled([{"id": 1, "text": "a"}]), sampled([{"text": "a", "id": 1}])
    assert first == second


def test_a_column_of_the_row_may_decide_what_is_drawn() -> None:
    columns = {"x": {"draw": "subcategory", "of": "kind", "values": {"1": ["a"]}}}
    assert SampleColumns(columns=columns).inputs == ["kind"]
    assert sampled([{"kind": 1}], columns) == [{"kind": 1, "x": "a"}]
    with pytest.raises(RowError, match="column 'kind' holds '2', for which there are no values to draw"):
        sampled([{"kind": 2}], columns)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"draw": "category", "values": []}, "at least 1 item"),
        ({"draw": "category", "values": [1, 2], "weights": [1]}, "1 weights for 2 values"),
        ({"draw": "category", "values": [1, 2], "weights": [0, 0]}, "one is above 0"),
        ({"draw": "category", "values": [1, 2], "weights": [-1, 2]}, "numbers of 0 or more"),
        ({"draw": "uniform", "low": 2, "high": 1}, "low is 2.0, above high, 1.0"),
        ({"draw": "integer", "low": 2, "high": 1}, "low is 2, above high, 1"),
        ({"draw": "date", "first": "2026-02-01", "last": "2026-01-01"}, "first is 2026-02-01, above last"),
        ({"draw": "gaussian", "std": -1}, "greater than or equal to 0"),
        ({"draw": "person", "when": "a >"}, "is not an expression over columns"),
        ({"draw": "zipf"}, "does not match any of the expected tags"),
    ],
)
def test_wrong_parameters_are_refused_with_a_reason(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SampleColumns(columns={"x": how})


def test_rows_without_input_need_every_column_drawn_before_it_is_used() -> None:
    with pytest.raises(ValidationError, match="depends on 'topic', which is not drawn before it"):
        SampleRows(columns={"detail": ALL["detail"], "topic": ALL["topic"]})
