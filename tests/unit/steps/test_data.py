"""LoadDataFromDicts: rows of the spec itself, from any offset, in linear time."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from common.steps import LoadDataFromDicts


def numbered(count: int) -> list[dict[str, int]]:
    return [{"n": number} for number in range(count)]


@given(count=st.integers(0, 30), batch_size=st.integers(1, 12), offset=st.integers(0, 35))
def test_it_yields_the_rows_from_the_offset_on_and_marks_the_last_batch(
    count: int, batch_size: int, offset: int
) -> None:
    batches = list(LoadDataFromDicts(name="load", data=numbered(count), batch_size=batch_size).process(offset))
    assert [row["n"] for rows, _ in batches for row in rows] == list(range(offset, count))
    assert [last for _, last in batches] == [False] * (len(batches) - 1) + [True] * bool(batches)
    assert all(len(rows) == batch_size for rows, last in batches if not last)


def test_a_row_that_is_changed_downstream_is_whole_when_the_generator_is_opened_again() -> None:
    step = LoadDataFromDicts(name="load", data=[{"text": "a"}])
    [([row], _)] = step.process()
    row["text"] = "changed"
    assert list(step.process()) == [([{"text": "a"}], True)]


def test_its_outputs_are_the_columns_of_all_rows() -> None:
    step = LoadDataFromDicts(name="load", data=[{"a": 1}, {"b": 2, "a": 3}])
    assert step.outputs == ["a", "b"]


def test_the_fingerprint_changes_with_a_value_a_type_and_the_order_of_rows_or_columns() -> None:
    datas = [
        [{"a": 1, "b": 2}, {"a": 3}],
        [{"a": 1, "b": 2}, {"a": 4}],
        [{"a": "1", "b": 2}, {"a": 3}],
        [{"a": True, "b": 2}, {"a": 3}],
        [{"b": 2, "a": 1}, {"a": 3}],
        [{"a": 3}, {"a": 1, "b": 2}],
    ]
    fingerprints = [LoadDataFromDicts(name="load", data=data).fingerprint() for data in datas]
    assert len(set(fingerprints)) == len(datas)
    assert fingerprints[0] == LoadDataFromDicts(name="other", data=datas[0], batch_size=7).fingerprint()


def test_ten_times_the_rows_take_about_ten_times_the_time() -> None:
    def seconds(count: int) -> float:
        step = LoadDataFromDicts(name="load", data=numbered(count), batch_size=10)
        started = time.process_time()
        assert sum(len(rows) for rows, _ in step.process()) == count
        return time.process_time() - started

    small, large = min(seconds(20_000) for _ in range(3)), min(seconds(200_000) for _ in range(2))
    assert large < 40 * small
