"""What a leaf's schema takes, what it refuses, and that neither depends on how rows are cut into parts."""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import RowTypeError
from common.protocol.codec import DEEPEST, check_row
from common.settings import Settings
from coordinator.dataset.card import CardFacts
from coordinator.dataset.dataset import build_dataset
from coordinator.dataset.leaf_schema import MAX_DEPTH, MOST_FIELDS, ColumnType, Kind, LeafSchema
from coordinator.dataset.parts import LeafWriter

FACTS = CardFacts("p", "", "run", "signature", "name: p\n", "pipeline-coordinator run p.yaml")

small_ints = st.integers(-1000, 1000)
ints = small_ints | st.sampled_from([2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 2**63 - 1, -(2**63)])
floats = st.floats()
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
scalars = [ints, small_ints | floats, st.booleans(), st.text(), st.binary(), st.datetimes()]
scalars.append(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=offsets))
names = st.sampled_from(["a", "b", "c.d", "", "_", "é\x00"])
unfit = st.sampled_from([2**63, "\ud800", {1, 2}, {1: 2}, {"\ud800": 1}, datetime(1, 1, 1, tzinfo=timezone.max)])

anything = st.recursive(
    st.one_of(st.none(), unfit, *scalars), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner)
)
shapes = st.recursive(
    st.sampled_from([scalars[1], *scalars[2:], st.none()]),
    lambda inner: (
        inner.map(lambda shape: st.lists(shape, max_size=3))
        | st.dictionaries(names, inner, max_size=3).map(lambda fields: st.fixed_dictionaries({}, optional=fields))
    ).map(lambda shape: st.none() | shape),
    max_leaves=6,
)
matching_rows = st.dictionaries(names, shapes, min_size=1, max_size=4).flatmap(
    lambda fields: st.lists(st.fixed_dictionaries({}, optional=fields), max_size=8)
)
any_rows = st.lists(st.dictionaries(names, anything, max_size=3), max_size=8)


def typed(value: Any) -> Any:
    """Equal only for the same value of the same type, NaN with itself, and instants whatever their time zone."""
    if isinstance(value, dict):
        return {name: typed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, datetime):
        return ("datetime", value.replace(tzinfo=None) - (value.utcoffset() or timedelta()), value.tzinfo is None)
    return (type(value), repr(value))


def stored(value: Any, column: ColumnType) -> Any:
    """What the dataset holds for a value: the value, except as the module's docstring says."""
    if value is None or (column.kind is Kind.STRUCT and not column.fields):
        return None
    if column.kind is Kind.STRUCT:
        return {name: stored(value.get(name), child) for name, child in column.fields}
    if column.kind is Kind.LIST:
        assert column.element is not None
        return [stored(item, column.element) for item in value]
    return float(value) if column.kind is Kind.FLOAT else value


def write(
    rows: list[dict[str, Any]], cuts: list[int], folder: Path, *, texts: bool = False
) -> tuple[list[Any], list[Any], LeafSchema]:
    """Rows through parts, a coordinator's death after each, into a dataset: its rows, the failed, the schema."""
    parts, failed, schema = [], [], None
    bounds = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    for start, end in pairwise(bounds):
        writer = LeafWriter(folder / "parts", "leaf", "token", schema, Settings(), texts=texts)
        for seq in range(start, end):
            writer.add(seq, [rows[seq]], 1, 0.0)
        parts.append(part := writer.flush())
        schema = LeafSchema.from_bytes(part.schema)
        assert schema == writer.schema
        failed += [(row.seq, row.column, row.reason) for row in part.failed]
    build_dataset(folder / "parts", {"leaf": parts}, folder / "out", FACTS)
    tables = [pq.read_table(file) for file in sorted((folder / "out" / "leaf").iterdir())]
    assert len({table.schema for table in tables}) == 1
    return [row for table in tables for row in table.to_pylist()], failed, schema or LeafSchema()


def kept(rows: list[dict[str, Any]], failed: list[Any]) -> list[dict[str, Any]]:
    out = {seq for seq, _, _ in failed}
    return [row for seq, row in enumerate(rows) if seq not in out]


def grown(*rows: dict[str, Any]) -> tuple[dict[str, str], list[tuple[int, str, str, str]]]:
    """Columns with their types as text, and the misfits, the same whether rows come together or one by one."""
    schema, misfits = LeafSchema().grow(rows)
    single, alone = LeafSchema(), []
    for index, row in enumerate(rows):
        single, found = single.grow([row])
        alone += [(index, misfit.column, misfit.found, misfit.expected) for misfit in found]
    assert single == schema
    together = [(misfit.index, misfit.column, misfit.found, misfit.expected) for misfit in misfits]
    assert together == alone
    return {name: str(column) for name, column in schema.columns}, together


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=any_rows | matching_rows, cuts=st.lists(st.integers(1, 7), max_size=4))
def test_every_row_is_in_the_dataset_unchanged_or_failed_with_its_column_however_rows_are_cut(
    rows: list[dict[str, Any]], cuts: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        found, failed, schema = write(rows, cuts, Path(one))
        uncut, uncut_failed, uncut_schema = write(rows, [], Path(other))
    assert (typed(found), failed, schema) == (typed(uncut), uncut_failed, uncut_schema)
    root = ColumnType(Kind.STRUCT, fields=schema.columns)
    assert typed(found) == typed([stored(row, root) for row in kept(rows, failed)])
    for seq, column, _ in failed:
        assert column == "" or any(column.startswith(name) for name in rows[seq])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=matching_rows)
def test_rows_of_one_shape_never_fail_unless_they_are_empty_before_the_first_column(rows: list[dict[str, Any]]) -> None:
    _, misfits = LeafSchema().grow(rows)
    first = next((index for index, row in enumerate(rows) if row), len(rows))
    assert [misfit.index for misfit in misfits] == list(range(first))


def test_columns_are_in_the_order_of_their_first_appearance() -> None:
    columns, _ = grown({"z": 1, "b": 2}, {"a": 1, "z": 2})
    assert list(columns) == ["z", "b", "a"]


def test_null_becomes_the_type_that_comes_later() -> None:
    assert grown({"a": None, "b": []}, {"a": "x", "b": [None]}, {"b": [1.5]}) == ({"a": "str", "b": "list[float]"}, [])


def test_int_becomes_float_in_nested_places_too() -> None:
    columns, misfits = grown({"a": 1, "b": [{"c": 1}]}, {"a": 0.5, "b": [{"c": 2}, {"c": 0.5}]})
    assert (columns, misfits) == ({"a": "float", "b": "list[dict[c: float]]"}, [])


def test_fields_of_structs_are_united() -> None:
    columns, misfits = grown({"a": {"y": 1}}, {"a": {"x": "t"}}, {"a": None}, {"a": {}})
    assert (columns, misfits) == ({"a": "dict[y: int, x: str]"}, [])


@pytest.mark.parametrize(
    ("first", "second", "found", "expected"),
    [
        (1, True, "bool", "int"),
        (True, 1, "int", "bool"),
        (0.5, True, "bool", "float"),
        ("x", b"x", "bytes", "str"),
        (b"x", "x", "str", "bytes"),
        ("1", 1, "int", "str"),
        ([1], "x", "str", "list"),
        ("x", ["x"], "list", "str"),
        ({"a": 1}, [1], "list", "dict"),
        (1, datetime(2020, 1, 1), "datetime without a time zone", "int"),
        (
            datetime(2020, 1, 1),
            datetime(2020, 1, 1, tzinfo=UTC),
            "datetime with a time zone",
            "datetime without a time zone",
        ),
        (0.5, 2**53 + 1, "int (beyond 2**53)", "float"),
        (2**53 + 1, 0.5, "float", "int (beyond 2**53)"),
    ],
)
def test_a_value_that_would_have_to_change_is_a_misfit(first: Any, second: Any, found: str, expected: str) -> None:
    columns, misfits = grown({"v": first}, {"v": second, "new": 1}, {"v": first})
    assert misfits == [(1, "v", found, expected)]
    assert list(columns) == ["v"]


@pytest.mark.parametrize(
    ("value", "column", "found"),
    [
        (2**63, "v", "int (beyond 64 bits)"),
        ({"w": ["x", "\ud800"]}, "v.w[1]", "str (with a lone surrogate)"),
        ([{"w": {1: 2}}], "v[0].w", "a key of type int"),
        ([{"w": {"\ud800": 2}}], "v[0].w", "str (with a lone surrogate)"),
        ([0, 1, (2,)], "v[2]", "tuple"),
        ([1, 2, [3]], "v[2]", "list"),
        ([2**60, 0.5], "v[1]", "float"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "v", "datetime (outside the years 1 to 9999 in UTC)"),
    ],
)
def test_a_value_that_parquet_cannot_hold_is_a_misfit_with_its_path(value: Any, column: str, found: str) -> None:
    columns, misfits = grown({"id": 1}, {"id": 2, "v": value}, {"id": 3})
    assert [(index, path, kind) for index, path, kind, _ in misfits] == [(1, column, found)]
    assert columns == {"id": "int"}


def test_a_misfit_says_where_what_and_what_was_expected() -> None:
    _, misfits = LeafSchema().grow([{"meta": {"scores": [1, 2]}}, {"meta": {"scores": [1, 2, 3, "x"]}}])
    assert misfits[0].reason == "column 'meta.scores[3]' holds str where int is expected"


def test_values_nested_too_deeply_are_a_misfit_and_those_at_the_limit_are_written(tmp_path: Path) -> None:
    def nested(levels: int) -> Any:
        return [nested(levels - 1)] if levels else 1

    rows = [{"v": nested(MAX_DEPTH - 1)}, {"w": nested(MAX_DEPTH)}]
    found, failed, _ = write(rows, [], tmp_path)
    assert found == rows[:1]
    assert [seq for seq, _, _ in failed] == [1]
    assert "where no more than 32 levels of lists and dicts is expected" in failed[0][2]


def test_a_row_without_columns_fails_before_the_first_column_and_is_a_row_of_nulls_after_it(tmp_path: Path) -> None:
    found, failed, _ = write([{}, {"a": 1}, {}], [1], tmp_path)
    assert found == [{"a": 1}, {"a": None}]
    assert failed == [(0, "", "the row holds no columns at all where at least one is expected")]


def test_empty_dicts_are_structs_of_nulls_once_a_field_is_known_and_apart_from_none(tmp_path: Path) -> None:
    found, _, _ = write([{"a": {}}, {"a": None}, {"a": {"x": 1}}], [1, 2], tmp_path)
    assert found == [{"a": {"x": None}}, {"a": None}, {"a": {"x": 1}}]


def test_a_column_of_empty_dicts_alone_is_null(tmp_path: Path) -> None:
    found, failed, _ = write([{"id": 1, "a": {}, "b": [{}]}, {"id": 2, "a": None}], [1], tmp_path)
    assert found == [{"id": 1, "a": None, "b": [None]}, {"id": 2, "a": None, "b": None}]
    assert failed == []


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        ([{}, {}], ("a",)),
        ([{}, None], ("a",)),
        ([[{}, None], []], ("a[]",)),
        ([[[{}]]], ("a[][]",)),
        ([{"x": {}, "y": [{"z": {}}]}], ("a.x", "a.y[].z")),
        ([{}, {"x": 1}], ()),
        ([{}, {"x": None}], ()),
        ([{"x": {}}, {"x": {"y": {}}}], ("a.x.y",)),
        ([None, []], ()),
    ],
    ids=repr,
)
def test_dicts_that_have_a_key_in_no_row_are_known(tmp_path: Path, values: list[Any], paths: tuple[str, ...]) -> None:
    schema, _ = LeafSchema().grow([{"id": 1, "a": value} for value in values])
    assert LeafSchema.from_bytes(schema.to_bytes()).keyless == paths
    one_by_one = LeafSchema()
    for value in values:
        one_by_one, _ = one_by_one.grow([{"id": 1, "a": value}])
    assert one_by_one.keyless == paths


def test_the_schema_survives_its_bytes_with_what_arrow_has_no_type_for() -> None:
    row = {"a": {}, "b": [2**60], "c": [{"d": {}}], "e": datetime(2020, 1, 1, tzinfo=UTC), "f": None, "g": b""}
    schema, _ = LeafSchema().grow([row])
    assert LeafSchema.from_bytes(schema.to_bytes()) == schema
    assert LeafSchema.from_bytes(schema.to_bytes()).grow([{"b": [0.5]}])[1][0].column == "b[0]"


def test_keys_that_are_data_are_a_misfit_past_a_limit_at_a_cost_that_grows_with_the_rows() -> None:
    rows = [{"id": n, "votes": {f"user-{n}": 1}} for n in range(2 * MOST_FIELDS)]
    schema, misfits = LeafSchema().grow(rows)
    assert [misfit.index for misfit in misfits] == list(range(MOST_FIELDS, 2 * MOST_FIELDS))
    assert misfits[0].reason == (
        "column 'votes' holds the key 'user-1000', beyond the first 1,000 different ones of its rows, where a list of "
        "{key, value}, or JSON as text, is expected"
    )
    assert len(dict(schema.columns)["votes"].fields) == MOST_FIELDS
    assert schema.grow([{"id": 1, "votes": {"user-5": 2}}]) == (schema, [])


def test_columns_have_the_limit_of_fields() -> None:
    _, misfits = LeafSchema().grow([{f"column-{n}": n} for n in range(MOST_FIELDS + 1)])
    assert [misfit.reason for misfit in misfits] == [
        "the row holds the key 'column-1000', beyond the first 1,000 different ones of its rows, where a list of "
        "{key, value}, or JSON as text, is expected"
    ]


def test_rows_nested_too_deeply_for_a_dataset_are_refused_between_steps_too() -> None:
    def nested(levels: int) -> Any:
        return [nested(levels - 1)] if levels else 1

    check_row({"v": nested(DEEPEST)})
    with pytest.raises(RowTypeError, match="nested more than 31 deep"):
        check_row({"v": nested(DEEPEST + 1)})


FAR, NANO = datetime(1500, 1, 1), pd.Timestamp("2024-01-01T00:00:00.123456789")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([date(2024, 1, 2), None], pa.date32()),
        ([time(1, 2, 3, 4)], pa.time64("us")),
        ([timedelta(1)], pa.duration("us")),
        ([timedelta(1), pd.Timedelta(5, "ns")], pa.duration("ns")),
        ([Decimal("1.50"), Decimal("12345")], pa.decimal128(7, 2)),
        ([Decimal("0.1"), Decimal(10**40)], pa.decimal256(42, 1)),
        ([datetime(2024, 1, 1), NANO], pa.timestamp("ns")),
        ([datetime(2024, 1, 1, tzinfo=UTC), NANO.tz_localize("UTC")], pa.timestamp("ns", "UTC")),
        ([datetime(2024, 1, 1), FAR], pa.timestamp("us")),
    ],
    ids=repr,
)
def test_times_and_decimals_keep_their_type_whatever_part_they_are_in(values: list[Any], kind: pa.DataType) -> None:
    schema, parts = LeafSchema(), []
    for value in values:
        schema, misfits = schema.grow([{"v": value}])
        assert misfits == []
        parts.append((schema.table([{"v": value}]), schema))
    assert LeafSchema.from_bytes(schema.to_bytes()) == schema
    table = pa.concat_tables([schema.final_table(part, source) for part, source in parts])
    assert table.schema.field("v").type == kind
    assert table.column("v").to_pylist() == values


@pytest.mark.parametrize(
    "values", [[FAR, NANO], [NANO, FAR], [Decimal("1.5"), 1.5], [date(2024, 1, 1), NANO]], ids=repr
)
def test_what_would_have_to_change_to_share_a_column_is_a_misfit(values: list[Any]) -> None:
    _, misfits = LeafSchema().grow([{"v": value} for value in values])
    assert [misfit.index for misfit in misfits] == [1]


@pytest.mark.parametrize("days", [106_751_990, -106_751_991, 999_999_999])
def test_a_duration_that_arrow_cannot_count_is_a_misfit(tmp_path: Path, days: int) -> None:
    found, failed, _ = write([{"v": timedelta(days=days)}, {"v": timedelta(days=106_751_989)}], [], tmp_path)
    assert [row["v"] for row in found] == [timedelta(days=106_751_989)]
    assert failed[0][2].startswith("column 'v' holds duration (of more than 292,000 years)")


def test_durations_with_nanoseconds_and_very_long_ones_share_no_column() -> None:
    _, misfits = LeafSchema().grow([{"v": pd.Timedelta(1, "ns")}, {"v": timedelta(days=200_000)}])
    assert [misfit.index for misfit in misfits] == [1]


@pytest.mark.parametrize("values", [[1, Decimal("1.5")], [Decimal("1.5"), 1], [2**63 - 1, Decimal("0.05")]], ids=repr)
def test_int_joins_decimal_without_a_digit_lost(tmp_path: Path, values: list[Any]) -> None:
    for cuts in ([], [1]):
        found, failed, _ = write([{"v": value} for value in values], cuts, tmp_path / str(len(cuts)))
        assert failed == []
        assert [row["v"] for row in found] == values
        assert {type(row["v"]) for row in found} == {Decimal}


def test_an_int_that_a_float_cannot_hold_fails_in_lists_and_dicts_as_well() -> None:
    big = 2**53 + 1
    columns, misfits = grown({"a": [0.5], "b": {"c": [big]}}, {"a": [1, big]}, {"b": {"c": [0.5]}}, {"a": [2]})
    assert [(index, path) for index, path, _, _ in misfits] == [(1, "a[1]"), (2, "b.c[0]")]
    assert columns == {"a": "list[float]", "b": "dict[c: list[int (beyond 2**53)]]"}
