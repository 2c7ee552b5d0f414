"""DataSampler: which rows it draws depends on its seed and the row's number alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.steps import DataSampler
from common.steps.base import Row

DATA = [{"text": f"text {number}", "label": number} for number in range(30)]


def rows(step: DataSampler, offset: int = 0) -> list[Row]:
    return [row for rows, _ in step.process(offset) for row in rows]


def test_each_row_has_a_list_of_size_values_in_each_column_from_the_same_rows() -> None:
    sampled = rows(DataSampler(data=DATA, size=3, samples=50))
    assert len(sampled) == 50
    for row in sampled:
        assert list(row) == ["text", "label"]
        assert len(set(row["label"])) == 3
        assert row["text"] == [f"text {label}" for label in row["label"]]


@given(samples=st.integers(1, 30), batch_size=st.integers(1, 12), offset=st.integers(0, 35))
def test_from_any_offset_it_draws_the_same_rows(samples: int, batch_size: int, offset: int) -> None:
    step = DataSampler(data=DATA, samples=samples, batch_size=batch_size)
    batches = list(step.process(offset))
    assert [row for some, _ in batches for row in some] == rows(DataSampler(data=DATA, samples=samples))[offset:]
    assert [last for _, last in batches] == [False] * (len(batches) - 1) + [True] * bool(batches)
    assert all(len(some) == batch_size for some, last in batches if not last)


def test_another_seed_draws_other_rows_and_all_of_the_data_is_drawn_from() -> None:
    first, second = (rows(DataSampler(data=DATA, samples=200, seed=seed)) for seed in (0, 1))
    assert first != second
    assert {label for row in first for label in row["label"]} == set(range(30))


def test_a_column_that_a_row_lacks_is_none_there_so_that_lists_stay_aligned() -> None:
    step = DataSampler(data=[{"a": 1}, {"a": 2, "b": "two"}], size=2, samples=1)
    assert step.outputs == ["a", "b"]
    ((row,),) = [some for some, _ in step.process()]
    assert sorted(zip(row["a"], row["b"], strict=True)) == [(1, None), (2, "two")]


def test_a_size_larger_than_the_data_and_no_data_are_refused() -> None:
    with pytest.raises(ValidationError, match="size is 2, but data has 1 rows to draw from; set a smaller size"):
        DataSampler(data=[{"a": 1}])
    with pytest.raises(ValidationError, match="at least 1 item"):
        DataSampler(data=[])


def test_the_fingerprint_changes_with_the_data_and_the_order_of_its_columns() -> None:
    datas = [[{"a": 1, "b": 2}], [{"b": 2, "a": 1}], [{"a": 1, "b": 3}]]
    assert len({DataSampler(data=data, size=1).fingerprint() for data in datas}) == 3
