"""Rows <-> bytes: what goes in comes out, what cannot is named, and foreign bytes are refused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from enum import IntEnum
from typing import Any

import msgpack
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RowError, RowTypeError, WireError
from common.protocol.codec import check_row, decode_rows, encode_rows

texts = st.text(alphabet=st.characters(codec="utf-8"))
int64s = st.integers(-(2**63), 2**63 - 1)
zones = st.one_of(
    st.none(),
    st.just(UTC),
    st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds))),
)
datetimes = st.datetimes(timezones=zones).map(lambda moment: moment.replace(fold=0))
decimals = st.decimals(allow_nan=False)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    int64s,
    st.floats(allow_nan=False),
    texts,
    st.binary(),
    datetimes,
    st.dates(),
    st.times().map(lambda at: at.replace(fold=0)),
    st.timedeltas(),
    decimals,
)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4))
)
rows_with_holes = st.lists(st.one_of(st.none(), st.dictionaries(texts, values, max_size=5)), max_size=6)

LONE = "\ud83d"
"""Half of a smiley: what a model that is cut in the middle of an emoji gives."""


def storable(row: Any) -> bool:
    try:
        check_row(row)
    except RowError:
        return False
    return True


@given(rows_with_holes)
def test_rows_come_back_as_they_were_stored_with_their_holes_in_place(rows: list[dict[str, Any] | None]) -> None:
    back = decode_rows(encode_rows(rows))
    assert back == rows
    assert repr(back) == repr(rows)  # equal is not the same: True == 1, and a time zone changes no instant


@given(st.dictionaries(texts, values))
def test_a_row_that_can_be_stored_passes_the_check(row: dict[str, Any]) -> None:
    check_row(row)


@given(datetimes)
def test_a_datetime_keeps_its_time_zone_or_the_lack_of_one(moment: datetime) -> None:
    (row,) = decode_rows(encode_rows([{"at": moment}]))
    assert row is not None
    assert row["at"] == moment
    assert row["at"].utcoffset() == moment.utcoffset()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -0.0])
def test_floats_that_are_no_numbers_survive(value: float) -> None:
    (row,) = decode_rows(encode_rows([{"x": value}]))
    assert row is not None
    assert repr(row["x"]) == repr(value)


@given(st.lists(scalars, max_size=4))
def test_tuples_become_lists(items: list[Any]) -> None:
    assert decode_rows(encode_rows([{"t": tuple(items), "in": [tuple(items)]}])) == [{"t": items, "in": [items]}]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int32(7), 7),
        (np.int64(-(2**63)), -(2**63)),
        (np.uint8(255), 255),
        (np.float32(0.5), 0.5),
        (np.float64(0.25), 0.25),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        (np.bytes_(b"bytes"), b"bytes"),
        (np.datetime64("2024-02-29T12:30:00", "us"), datetime(2024, 2, 29, 12, 30)),
        (np.array([1, 2, 3]), [1, 2, 3]),
        (np.array([[1.5], [2.5]], dtype=np.float32), [[1.5], [2.5]]),
        (np.array(5), 5),
        (np.array([]), []),
        (np.array([True, False]), [True, False]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array(["2024-01-01"], dtype="datetime64[us]"), [datetime(2024, 1, 1)]),
        (np.array([{"a": 1}, None, "x"], dtype=object), [{"a": 1}, None, "x"]),
    ],
    ids=repr,
)
def test_numpy_scalars_and_arrays_become_their_values(value: object, plain: object) -> None:
    check_row({"x": value, "in": [{"y": value}]})
    (row,) = decode_rows(encode_rows([{"x": value, "in": [{"y": value}]}]))
    assert row == {"x": plain, "in": [{"y": plain}]}
    assert type(row["x"]) is type(plain)


class Level(IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Level.HIGH, 3),
        (bytearray(b"x"), b"x"),
        pytest.param(memoryview(b"x"), b"x", id="memoryview"),
        (OrderedDict(a=1), {"a": 1}),
        (pd.Timestamp("2024-02-29 12:30", tz="UTC"), datetime(2024, 2, 29, 12, 30, tzinfo=UTC)),
        (pd.NaT, None),
    ],
    ids=repr,
)
def test_kinds_of_plain_values_become_plain(value: object, plain: object) -> None:
    check_row({"x": value})
    assert decode_rows(encode_rows([{"x": value}])) == [{"x": plain}]


class Colour:
    """A user's object."""


def _cycle() -> dict[str, Any]:
    row: dict[str, Any] = {"n": 1}
    row["self"] = row
    return row


def _deep(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return {"deep": value}


REFUSED: list[tuple[str, Callable[[], dict[str, Any]], str, str]] = [
    ("set", lambda: {"a": {1, 2}}, "a", "builtins.set"),
    ("object", lambda: {"a": {"b": [0, Colour()]}}, "a.b[1]", f"{__name__}.Colour"),
    ("aware time", lambda: {"at": time(1, tzinfo=UTC)}, "at", "time"),
    ("far datetime", lambda: {"at": pd.Timestamp(np.datetime64("99999-01-01", "s"))}, "at", "datetime"),
    ("far datetime64", lambda: {"at": np.datetime64("99999-01-01", "s")}, "at", "datetime"),
    ("picoseconds", lambda: {"at": np.datetime64("2024-01-01T00:00:00.000000000001")}, "at", "numpy.datetime64"),
    ("complex", lambda: {"z": 1j}, "z", "builtins.complex"),
    ("int key", lambda: {"a": [{1: "x"}]}, "a[0].1", "int as a key"),
    ("top int key", lambda: {1: "x"}, "1", "int as a key"),
    ("bytes key", lambda: {"a": {b"k": 1}}, "a.b'k'", "bytes as a key"),
    ("int key in an array", lambda: {"a": np.array([{1: 2}], dtype=object)}, "a[0].1", "int as a key"),
    ("2**63", lambda: {"n": 2**63}, "n", "int"),
    ("2**63 in a list", lambda: {"n": [0, 2**63]}, "n[1]", "int"),
    ("2**64", lambda: {"n": {"m": 2**64}}, "n.m", "int"),
    ("-2**63-1", lambda: {"n": -(2**63) - 1}, "n", "int"),
    ("uint64", lambda: {"n": np.uint64(2**63)}, "n", "int"),
    ("surrogate", lambda: {"a": {"b": LONE}}, "a.b", "str"),
    ("surrogate key", lambda: {"a": {LONE: 1}}, "a.\\ud83d", "str as a key"),
    ("long double", lambda: {"x": np.longdouble(1)}, "x", "numpy.longdouble"),
    ("timedelta64", lambda: {"x": np.timedelta64(1)}, "x", "numpy.timedelta64"),
    ("cycle", _cycle, "self.self", "dict"),
    ("deep", lambda: _deep(150), "deep[0][0]", "list"),
    ("very deep", lambda: _deep(3000), "deep[0][0]", "list"),
]


@pytest.mark.parametrize(("make", "column", "found"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_value_that_rows_cannot_hold_is_refused_by_column_and_type(
    make: Callable[[], dict[str, Any]], column: str, found: str
) -> None:
    for refuse in (lambda: encode_rows([None, {"fine": 1}, make()]), lambda: check_row(make())):
        with pytest.raises(RowTypeError) as caught:
            refuse()
        assert caught.value.column.startswith(column)
        assert found in caught.value.found
        str(caught.value).encode()  # it travels in a dead letter


@given(st.one_of(st.integers(min_value=2**63), st.integers(max_value=-(2**63) - 1)))
def test_no_int_beyond_64_bits_is_stored(value: int) -> None:
    with pytest.raises(RowTypeError, match="beyond 64 bits"):
        encode_rows([{"n": [value]}])


@given(texts, st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF, categories=["Cs"]), texts)
def test_text_with_lone_surrogates_is_refused(before: str, lone: str, after: str) -> None:
    with pytest.raises(RowTypeError, match="not valid Unicode"):
        encode_rows([{"answer": before + lone + after}])


anything = st.recursive(
    st.one_of(
        scalars,
        st.integers(),
        st.text(alphabet=st.characters(categories=["Cs", "Ll"])),
        st.sampled_from([{1}, Colour(), 1j, bytearray(b"x"), memoryview(b"x"), OrderedDict(a=1), np.float32(1), 2**63]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner),
        st.dictionaries(st.one_of(texts, st.integers(), st.binary()), inner, max_size=3),
    ),
)


@given(st.lists(st.dictionaries(st.one_of(texts, st.integers()), anything, max_size=3), min_size=1, max_size=3))
def test_whether_a_row_is_stored_does_not_depend_on_its_neighbours(rows: list[Any]) -> None:
    """A batch that cannot be encoded loses the rows that `check_row` refuses: they must be those to blame."""
    good = [row for row in rows if storable(row)]
    decode_rows(encode_rows(good))
    if len(good) < len(rows):
        with pytest.raises(RowTypeError):
            encode_rows(rows)


@pytest.mark.parametrize("row", ["text", 5, None, [("a", 1)]])
def test_what_is_no_dict_is_no_row(row: object) -> None:
    with pytest.raises(RowError, match="where a row"):
        check_row(row)


def test_a_row_beyond_the_limit_is_refused_with_its_size_and_the_setting() -> None:
    check_row({"text": "x" * 80}, limit=100)
    with pytest.raises(RowError, match=r"10\d bytes; at most 100 .*PENSTOCK_ROW_BYTES"):
        check_row({"text": "x" * 100}, limit=100)


@given(st.binary(max_size=200))
def test_bytes_that_nobody_wrote_are_a_wire_error_and_nothing_else(data: bytes) -> None:
    refused_or_rows(data)


@given(rows_with_holes, st.data())
def test_a_payload_that_was_damaged_is_a_wire_error_and_nothing_else(rows: list[Any], data: st.DataObject) -> None:
    payload = bytearray(encode_rows(rows))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(payload) - 1))
        payload[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    refused_or_rows(bytes(payload[:cut]))


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1},
        5,
        None,
        [5],
        [[{"a": 1}]],
        [{1: 2}],
        [{b"a": 2}],
        [{"a": {b"b": 2}}],
        [{"a": msgpack.ExtType(1, b"no date")}],
        [{"a": msgpack.ExtType(1, b"\xff")}],
        [{"a": msgpack.ExtType(9, b"x")}],
        [{"a": msgpack.Timestamp(2**60, 0)}],
    ],
    ids=repr,
)
def test_what_is_msgpack_and_no_rows_is_a_wire_error(value: object) -> None:
    with pytest.raises(WireError):
        decode_rows(msgpack.packb(value, strict_types=False))


def test_nesting_without_end_is_a_wire_error() -> None:
    with pytest.raises(WireError):
        decode_rows(b"\x91" * 100_000)


def refused_or_rows(data: bytes) -> None:
    try:
        rows = decode_rows(data)
    except WireError:
        return
    assert all(row is None or all(isinstance(key, str) for key in row) for row in rows)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (pd.Timestamp("2024-01-01T00:00:00.123456789"), pd.Timestamp("2024-01-01T00:00:00.123456789")),
        (pd.Timestamp("2024-01-01T00:00:00.123456"), datetime(2024, 1, 1, microsecond=123456)),
        (pd.Timestamp("2024-01-01T00:00:00.123456789+02:00"), pd.Timestamp("2024-01-01T00:00:00.123456789+02:00")),
        (np.datetime64("2024-01-01T00:00:00.000000007", "ns"), pd.Timestamp("2024-01-01T00:00:00.000000007")),
        (np.datetime64("2024-01-01T10:00:00", "ns"), datetime(2024, 1, 1, 10)),
        (np.datetime64("2024-01-01T10:00:00", "ms"), datetime(2024, 1, 1, 10)),
        (np.datetime64("2024-01-01", "D"), date(2024, 1, 1)),
        (np.array(["2024-01-01", "NaT"], "datetime64[ns]"), [datetime(2024, 1, 1), None]),
        (np.timedelta64(3, "s"), timedelta(seconds=3)),
        (np.timedelta64(5_001, "ns"), pd.Timedelta(5_001, "ns")),
        (pd.Timedelta(-1, "ns"), pd.Timedelta(-1, "ns")),
        (pd.NaT, None),
        (np.timedelta64("NaT", "ns"), None),
    ],
    ids=repr,
)
def test_times_of_numpy_and_pandas_keep_their_nanoseconds(value: Any, kept: Any) -> None:
    check_row({"at": value})
    (row,) = decode_rows(encode_rows([{"at": value}]))
    assert row == {"at": kept}
    assert type(row["at"]) is type(kept)
