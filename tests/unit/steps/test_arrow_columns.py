"""What rows can hold of the columns of Parquet and Arrow files, and what becomes of maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from pyarrow import parquet

from common.errors import BadData, UsageError
from tests.support.files import load


def _struct_of_two() -> pa.Array:
    return pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])


@pytest.mark.parametrize(
    ("table", "error"),
    [
        (pa.table([[1], [2], [3]], names=["id", "text", "text"]), "two columns are called 'text'"),
        (pa.table({"s": _struct_of_two()}), "two columns are called 's.a'"),
        (
            pa.table({"s": pa.array([[{"m": [("k", 1)]}]], pa.list_(pa.struct({"m": pa.map_("str", "int8")})))}),
            "'s.*.m' holds maps .*; choose how to read them, maps: dicts or maps: pairs",
        ),
        (
            pa.table({"u": pa.array(["00" * 8], pa.string()).cast(pa.binary()).cast(pa.binary(16)).cast(pa.uuid())}),
            "'u'",
        ),
    ],
    ids=["columns", "fields", "map", "uuid"],
)
def test_what_rows_cannot_hold_is_found_from_the_schema_and_need_not_be_selected(
    tmp_path: Path, table: pa.Table, error: str
) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(table.append_column("other", pa.array(["x"])), path)
    with pytest.raises(UsageError, match=f"a.parquet: .*{error}"):
        load(path)
    assert load(path, columns=["other"]) == [{"other": "x"}]


MAP = pa.map_("str", "int64")
DEEP = pa.list_(pa.struct({"m": pa.map_("str", MAP)}))
TABLE = pa.table(
    {
        "m": pa.array([[("a", 1), ("b", None)], [], None], MAP),
        "deep": pa.array([[{"m": [("x", [("y", 1)])]}], [{"m": None}], []], DEEP),
    }
)


@pytest.mark.parametrize(
    ("maps", "rows"),
    [
        (
            "dicts",
            [
                {"m": {"a": 1, "b": None}, "deep": [{"m": {"x": {"y": 1}}}]},
                {"m": {}, "deep": [{"m": None}]},
                {"m": None, "deep": []},
            ],
        ),
        (
            "pairs",
            [
                {
                    "m": [{"key": "a", "value": 1}, {"key": "b", "value": None}],
                    "deep": [{"m": [{"key": "x", "value": [{"key": "y", "value": 1}]}]}],
                },
                {"m": [], "deep": [{"m": None}]},
                {"m": None, "deep": []},
            ],
        ),
    ],
)
def test_maps_come_as_dicts_or_pairs_as_the_loader_is_told(
    tmp_path: Path, maps: Literal["dicts", "pairs"], rows: list[dict[str, Any]]
) -> None:
    parquet.write_table(TABLE, tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet", maps=maps) == rows
    assert load(tmp_path / "a.parquet", offset=2, maps=maps) == rows[2:]


def test_maps_whose_keys_are_no_text_can_only_be_pairs(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"m": pa.array([[(1, "a")]], pa.map_("int64", "str"))}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=r"column 'm' holds maps whose keys are not text .*; read them as pairs"):
        load(tmp_path / "a.parquet", maps="dicts")
    assert load(tmp_path / "a.parquet", maps="pairs") == [{"m": [{"key": 1, "value": "a"}]}]


def test_a_map_with_a_key_twice_is_no_dict(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"m": pa.array([[("a", 1), ("a", 2)]], MAP)}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=r"a.parquet: column 'm' has a map with the key 'a' twice; .*maps: pairs"):
        load(tmp_path / "a.parquet", maps="dicts")
    assert len(load(tmp_path / "a.parquet", maps="pairs")[0]["m"]) == 2


def test_types_of_values_in_maps_are_checked_as_well(tmp_path: Path) -> None:
    kind = pa.map_("str", pa.time64("ns"))
    parquet.write_table(pa.table({"m": pa.array([[("a", 1)]], kind)}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=r"column 'm.value' has the type time64\[ns\], which rows cannot hold"):
        load(tmp_path / "a.parquet", maps="dicts")


def test_a_time_beyond_those_of_python_is_named_with_its_file(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"t": pa.array([2**40], pa.timestamp("s"))}), tmp_path / "a.parquet")
    with pytest.raises(BadData, match=r"a.parquet: a value that Python cannot hold: "):
        load(tmp_path / "a.parquet")
