"""make_generator_step: from data in memory to a step whose spec is small, the same for the same data."""

from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Array2D, Dataset, DatasetDict, Features, IterableDataset, concatenate_datasets

from common.building.dump import dump_step
from common.errors import UsageError
from common.protocol.codec import check_row
from common.steps import KeepColumns, LoadDataFromDicts, LoadDataFromFile, make_generator_step
from common.steps.base import GeneratorStep, Row
from coordinator import Pipeline

ROWS: list[Row] = [{"id": number, "text": f"text {number}", "meta": {"tags": [str(number)]}} for number in range(2_500)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which data is kept."""
    monkeypatch.setenv("PENSTOCK_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data"


def rows_of(step: GeneratorStep, offset: int = 0) -> list[Row]:
    step.load()
    found = [row for rows, _ in step.process(offset) for row in rows]
    for row in found:
        check_row(row)
    return found


def kept(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def test_a_short_list_is_in_the_spec(cache: Path) -> None:
    step = make_generator_step([{"a": 1}, {"b": (np.float64(0.5), None)}], name="load", batch_size=7)
    assert isinstance(step, LoadDataFromDicts)
    assert (step.name, step.batch_size, step.data) == ("load", 7, [{"a": 1}, {"b": [0.5, None]}])
    assert not cache.exists()


def test_a_long_list_is_kept_in_a_file_and_comes_out_row_by_row_as_it_was(cache: Path) -> None:
    rows = [{**row, "text": "ü" * 500} for row in ROWS[:-1]] + [{"other": {}, "mixed": [1, "a", None]}]
    step = make_generator_step(rows)
    assert isinstance(step, LoadDataFromFile)
    assert kept(cache) == [Path(str(step.path)).name]
    assert [path.stat().st_mode & 0o777 for path in (cache, Path(str(step.path)))] == [0o700, 0o600]
    assert len(step.model_dump_json()) < 1_000
    assert rows_of(step) == rows
    assert rows_of(step, 2_490) == rows[2_490:]


@pytest.mark.parametrize(
    "value",
    [
        b"\x00\xff",
        date(2026, 1, 2),
        Decimal("1.50"),
        timedelta(1),
        pd.Timestamp(7),
        datetime(2026, 1, 2, 3, 4, 5, 678),
        datetime(2026, 1, 2, tzinfo=UTC),
        float("inf"),
        -0.0,
    ],
    ids=repr,
)
def test_values_that_no_spec_can_hold_come_out_as_they_were(value: object) -> None:
    rows = [{"value": value, "id": 1}, {"value": None, "id": 2}]
    assert rows_of(make_generator_step(rows)) == rows


def test_rows_in_a_table_may_differ_in_columns_and_fields_and_in_ints_and_floats() -> None:
    rows: list[Row] = [{"raw": b"x", "n": 1, "meta": {"a": [1]}}, {"n": 2.5, "meta": {"b": None}}, {"meta": None}]
    meta = {"a": None, "b": None}
    assert rows_of(make_generator_step(rows)) == [
        {"raw": b"x", "n": 1.0, "meta": {**meta, "a": [1]}},
        {"raw": None, "n": 2.5, "meta": meta},
        {"raw": None, "n": None, "meta": None},
    ]


def test_not_a_number_stays_so_and_out_of_the_spec() -> None:
    step = make_generator_step([{"value": float("nan")}])
    ((row,),) = [rows for rows, _ in step.process()]
    assert row["value"] != row["value"]
    json.dumps(dump_step(step), allow_nan=False)


@pytest.mark.parametrize("make", [Dataset.from_list, pd.DataFrame, lambda rows: DatasetDict(a=Dataset.from_list(rows))])
def test_a_dataset_a_dict_of_one_and_a_data_frame_are_kept_in_a_file(cache: Path, make: Any) -> None:
    step = make_generator_step(make(ROWS), output_mappings={"text": "prompt"}, batch_size=9)
    assert isinstance(step, LoadDataFromFile)
    assert step.output_columns(set()) == {"id", "prompt", "meta"}
    assert rows_of(step) == ROWS
    assert rows_of(step, 2_345) == ROWS[2_345:]
    assert len(kept(cache)) == 1


def test_the_same_data_is_written_once_and_is_the_same_run(cache: Path) -> None:
    noise = random.Random(0)  # so much of it that a row group has several pages
    dataset = Dataset.from_list([{**row, "text": noise.randbytes(1_500).hex()} for row in ROWS])
    first = make_generator_step(dataset)
    (file,) = cache.iterdir()
    identity = (file.stat().st_ino, file.stat().st_mtime)
    pieces = concatenate_datasets([dataset.select(range(700)), dataset.select(range(700, 2_500))])
    backwards = dataset.select(range(2_499, -1, -1)).select(range(2_499, -1, -1))
    for same in (dataset, pieces, backwards):
        again = make_generator_step(same)
        assert (again.model_dump(exclude={"name"}), again.fingerprint()) == (
            first.model_dump(exclude={"name"}),
            first.fingerprint(),
        )
    assert [(path.stat().st_ino, path.stat().st_mtime) for path in cache.iterdir()] == [identity]
    before = first.fingerprint()
    file.unlink()
    assert make_generator_step(dataset).fingerprint() == before
    assert make_generator_step(dataset.select(range(2_499))).model_dump()["path"] != str(file)


def test_the_index_of_a_data_frame_is_left_out_and_missing_numbers_are_none() -> None:
    frame = pd.DataFrame({"a": [1.5, None], "b": pd.Categorical(["x", "y"])}, index=["first", "second"])
    assert rows_of(make_generator_step(frame)) == [{"a": 1.5, "b": "x"}, {"a": None, "b": "y"}]


def test_numbers_in_two_dimensions_are_lists_of_lists() -> None:
    features = Features({"grid": Array2D(shape=(2, 2), dtype="int32")})
    dataset = Dataset.from_dict({"grid": [[[1, 2], [3, 4]]] * 3}, features=features)
    assert rows_of(make_generator_step(dataset)) == [{"grid": [[1, 2], [3, 4]]}] * 3


@pytest.mark.parametrize(
    "empty",
    [
        [],
        Dataset.from_list([]),
        Dataset.from_dict({"a": []}),
        pd.DataFrame({"a": []}),
        DatasetDict(a=Dataset.from_list([])),
    ],
)
def test_a_dataset_without_rows_is_refused(empty: Any) -> None:
    with pytest.raises(UsageError, match="the dataset has no rows; a run needs at least one"):
        make_generator_step(empty)


@pytest.mark.parametrize(
    ("dataset", "error"),
    [
        ({"a": [1]}, "takes a list of dicts, a Dataset, .* but this is a dict"),
        ("rows.jsonl", "but this is a str"),
        (None, "but this is a NoneType"),
        (
            IterableDataset.from_generator(lambda: iter([{"a": 1}])),
            "this is a datasets.iterable_dataset.IterableDataset",
        ),
        ([{"a": 1}, "b"], "takes a list of dicts, but its element 1 is a str"),
        (DatasetDict(), "a DatasetDict must have one split, but this has none"),
        (
            DatasetDict(train=Dataset.from_dict({"a": [1]}), test=Dataset.from_dict({"a": [1]})),
            r"must have one split, but this has train, test; pass one of them: dataset\['train'\]",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_else_is_refused_in_words(dataset: Any, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        make_generator_step(dataset)


@pytest.mark.parametrize(
    ("dataset", "error"),
    [
        ([{"a": 1}, {"a": {"b": [1, {2}]}}], r"row 1 of the dataset .* column 'a.b\[1\]' .* type builtins.set"),
        ([{"a": 2**70}], r"row 0 of the dataset .* column 'a' holds a value of type int \(beyond 64 bits\)"),
        ([{1: 2}], "row 0 of the dataset .* type int as a key"),
        ([{"a": b"x"}, {"a": "y"}], "column 'a' holds values of different types, some of them not binary"),
        ([{"a": [b"x"]}, {"a": 1}], "column 'a' holds values of different types: cannot mix list"),
        ([{"a": datetime(2026, 1, 2)}, {"a": 1}], "some of them not timestamp"),
        ([{"a": datetime(2026, 1, 2)}, {"a": datetime(2026, 1, 2, tzinfo=UTC)}], "some of them not timestamp"),
        ([{"a": b"x", "b": {}}], "the dataset cannot be written as Parquet"),
        (pd.DataFrame({"a": [pd.Period("2026-01")]}), "column 'a' has the type extension<.*>, which rows cannot hold"),
        (pd.DataFrame({"a": [1, "x"]}), "the DataFrame cannot be used: .*column a"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "the DataFrame cannot be used: Duplicate column names"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_rows_cannot_hold_is_named_with_its_column_and_type(cache: Path, dataset: Any, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        make_generator_step(dataset)
    assert not cache.exists() or kept(cache) == []


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_variable(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("a file")
    with pytest.raises(UsageError, match=r"data cannot be written: .*; choose another folder with PENSTOCK_CACHE_DIR"):
        make_generator_step(pd.DataFrame({"a": [1]}))


def test_a_short_list_is_the_same_step_as_one_made_by_hand() -> None:
    made = make_generator_step([{"a": 1}], name="load")
    by_hand = LoadDataFromDicts(name="load", data=[{"a": 1}])
    assert json.loads(made.model_dump_json()) == json.loads(by_hand.model_dump_json())
    assert made.fingerprint() == by_hand.fingerprint()


def test_in_a_pipeline_it_is_named_and_connected_as_any_step_and_other_processes_build_it_again() -> None:
    with Pipeline("p") as pipeline:
        make_generator_step(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})) >> KeepColumns(columns=["a"])
    assert list(pipeline.steps) == ["load_data_from_file_0", "keep_columns_0"]
    again = Pipeline.from_dict(pipeline.dump())
    assert again.signature == pipeline.signature
    load = again.steps["load_data_from_file_0"]
    assert isinstance(load, LoadDataFromFile)
    assert rows_of(load) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
