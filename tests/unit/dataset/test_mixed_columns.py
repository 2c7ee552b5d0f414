"""Columns of values of several types, if a pipeline asks for them as text."""

from __future__ import annotations

import tempfile
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator.dataset.leaf_schema import LeafSchema
from tests.unit.dataset.test_leaf_schema import NANO, floats, ints, names, offsets, small_ints, typed, unfit, write

several = st.recursive(
    st.one_of(
        *(st.none(), unfit, ints, small_ints, floats, st.booleans(), st.text(max_size=3), st.binary(max_size=2)),
        *(st.datetimes(timezones=st.none() | offsets), st.dates(), st.times(), st.timedeltas()),
        st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-1000, max_value=1000),
        *(st.sampled_from([NANO, 1.0, -0.0, Decimal("1.50"), Decimal(0)]),),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(st.dictionaries(names, several, min_size=1, max_size=2), max_size=8),
    cuts=st.lists(st.integers(1, 7), max_size=4),
)
def test_texts_of_mixed_columns_do_not_depend_on_how_rows_are_cut(rows: list[dict[str, Any]], cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        found = write(rows, cuts, Path(one), texts=True)
        uncut = write(rows, [], Path(other), texts=True)
    assert (typed(found[0]), *found[1:]) == (typed(uncut[0]), *uncut[1:])


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1, "x", None, 2.5, True], ["1", "x", None, "2.5", "true"]),
        (["x", 1.0, 2**53 + 1, -0.0], ["x", "1", "9007199254740993", "-0.0"]),
        ([0.5, 2**53 + 1], ["0.5", "9007199254740993"]),
        ([{"b": 1, "a": "é"}, "x", [1, None]], ['{"a": "é", "b": 1}', "x", "[1, null]"]),
        ([Decimal("1.50"), "x"], ["1.5", "x"]),
        ([datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1))), "x"], ["2023-12-31T23:00:00+00:00", "x"]),
        ([datetime(2024, 1, 1), date(2024, 1, 1), time(1, 2)], ["2024-01-01T00:00:00", "2024-01-01", "01:02:00"]),
        ([timedelta(days=1, microseconds=5), "x", timedelta(-1)], ["PT86400.000005S", "x", "-PT86400S"]),
        ([[1], ["x"]], [["1"], ["x"]]),
        ([{"a": 1}, {"a": [2]}], [{"a": "1"}, {"a": "[2]"}]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("cut", [False, True])
def test_a_column_of_several_types_becomes_text_where_that_is_asked_for(
    tmp_path: Path, values: list[Any], texts: list[Any], cut: bool
) -> None:
    found, failed, _ = write([{"v": value} for value in values], [1] * cut, tmp_path, texts=True)
    assert failed == []
    assert [row["v"] for row in found] == texts


@pytest.mark.parametrize("values", [["x", b"x"], [b"x", "x"], [[b"x"], 1], [1, {"a": b"x"}]], ids=repr)
def test_bytes_have_no_text(values: list[Any]) -> None:
    _, misfits = LeafSchema().grow([{"v": value} for value in values], texts=True)
    assert [misfit.index for misfit in misfits] == [1]


def test_a_list_of_lists_and_others_fails_and_a_column_of_them_does_not(tmp_path: Path) -> None:
    values: list[Any] = [[0], [False], {}, "x", [[1], "x"]]
    for cuts in ([], [1], [2, 3]):
        found, failed, _ = write([{"v": value} for value in values], cuts, tmp_path / str(len(cuts)), texts=True)
        assert [row["v"] for row in found] == [["0"], ["false"]]
        assert [seq for seq, _, _ in failed] == [2, 3, 4]
