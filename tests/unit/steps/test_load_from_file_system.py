"""LoadDataFromFileSystem: every type, splits, any offset, equal columns in all files, errors that name the file."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from common.errors import BadData, FileChanged, UsageError
from common.spec.spec import absolute_path
from common.steps import LoadDataFromFileSystem
from common.steps.base import Row
from tests.support.files import compress

ROWS: list[Row] = [{"id": number, "text": None if number == 3 else f"line {number}"} for number in range(7)]


def step(data_files: Any, **options: Any) -> LoadDataFromFileSystem:
    if isinstance(data_files, Path):
        data_files = str(data_files)
    return LoadDataFromFileSystem(name="load", data_files=data_files, **{"batch_size": 5, "streaming": True, **options})


def load(data_files: Any, offset: int = 0, **options: Any) -> list[Row]:
    loader = step(data_files, **options)
    loader.load()
    return [row for rows, _ in loader.process(offset) for row in rows]  # type: ignore[misc]


def write(path: Path, rows: list[Row] = ROWS) -> Path:
    """Writes rows in the type that the name tells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    kind = path.name.removesuffix(".gz").removesuffix(".zst").rpartition(".")[2]
    if kind == "parquet":
        parquet.write_table(table, path)
    elif kind == "arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    else:
        if kind == "jsonl":
            text = "".join(json.dumps(row) + "\n" for row in rows)
        elif kind == "json":
            text = json.dumps(rows)
        else:
            mark = "\t" if kind == "tsv" else ","
            lines = [rows[0], *(row.values() for row in rows)]
            text = "".join(mark.join("" if value is None else str(value) for value in line) + "\n" for line in lines)
        path.write_bytes(compress(path.name, text.encode()))
    return path


NAMES = ["a.csv", "a.tsv", "a.json", "a.jsonl", "a.parquet", "a.arrow", "a.csv.gz", "a.jsonl.zst", ".h/a[1].csv"]


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_every_type_gives_the_rows_with_their_types(tmp_path: Path, name: str, streaming: bool) -> None:
    path = write(tmp_path / name)
    assert load(path, streaming=streaming) == ROWS
    assert step(path).outputs == ["id", "text"]


def test_a_text_file_gives_a_row_per_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    assert load(tmp_path / "a.txt") == [{"text": "one"}, {"text": ""}, {"text": "two"}]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(offset=st.integers(0, 25), most=st.none() | st.integers(1, 25))
def test_it_starts_at_any_row_and_takes_as_many_as_it_is_told(tmp_path: Path, offset: int, most: int | None) -> None:
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        write(tmp_path / name)
    (tmp_path / "bb.jsonl").write_bytes(b"")
    assert load(tmp_path, offset, num_examples=most) == (ROWS * 3)[:most][offset:]


@pytest.mark.parametrize(
    "files", [["train/a.csv", "test/a.csv", "dev/a.csv"], ["train-00000-of-00001.csv", "x_test.csv", "val.csv"]]
)
def test_a_folder_whose_names_say_splits_gives_one_of_them(tmp_path: Path, files: list[str]) -> None:
    for number, name in enumerate(files):
        write(tmp_path / name, ROWS[number : number + 1])
    assert [load(tmp_path, split=split) for split in ("train", "test", "validation")] == [[row] for row in ROWS[:3]]
    with pytest.raises(UsageError, match="there is no split 'best'; did you mean 'test'"):
        load(tmp_path, split="best")
    write(tmp_path / "more.csv")
    with pytest.raises(UsageError, match=r"more\.csv does not show its split"):
        load(tmp_path)


def test_a_mapping_names_the_files_of_each_split(tmp_path: Path) -> None:
    paths = [str(write(tmp_path / f"{number}.csv", ROWS[number : number + 1])) for number in range(3)]
    given = {"train": paths[0], "rest": paths[1:]}
    assert load(given) == ROWS[:1]
    assert load(given, split="rest") == ROWS[1:3]
    with pytest.raises(UsageError, match="data_files has no split 'test'; did you mean 'rest'"):
        load(given, split="test")
    with pytest.raises(UsageError, match="there is no split 'test'; there are train"):
        load(paths, split="test")
    assert absolute_path({"train": "a.csv", "rest": ["b.csv", "s3://b/c.csv"]}, Path("/base")) == {
        "train": "/base/a.csv",
        "rest": ["/base/b.csv", "s3://b/c.csv"],
    }


def test_the_type_comes_from_the_suffix_or_is_said(tmp_path: Path) -> None:
    odd = write(tmp_path / "a.csv").rename(tmp_path / "a.dat")
    assert load(odd, filetype="csv") == ROWS
    with pytest.raises(UsageError, match=r"the name of '.*a\.dat' does not show its type; set filetype|known suffixes"):
        load(odd)
    write(tmp_path / "b.jsonl")
    write(tmp_path / "c.csv")
    with pytest.raises(UsageError, match="files of several types: csv, jsonl; set filetype"):
        load(tmp_path)
    with pytest.raises(UsageError, match=r"no files to read in .*; set filetype"):
        load(str(tmp_path / "*.dat"))


def test_other_filesystems_are_read(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/system/a.csv", write(tmp_path / "a.csv").read_bytes())
    assert load("memory://system/a.csv") == ROWS
    assert load("memory://system", streaming=False) == ROWS


def test_json_may_lack_a_column_and_no_file_may_have_another_one(tmp_path: Path) -> None:
    write(tmp_path / "json" / "a.jsonl")
    write(tmp_path / "json" / "b.jsonl", [{"text": "x"}])
    assert load(tmp_path / "json", 7) == [{"id": None, "text": "x"}]
    write(tmp_path / "json" / "c.jsonl", [{"id": 1, "text": "x", "more": 1}])
    with pytest.raises(BadData, match=r"c\.jsonl: it has the column 'more', which the first rows lack"):
        load(tmp_path / "json")
    write(tmp_path / "csv" / "a.csv")
    write(tmp_path / "csv" / "b.csv", [{"text": "x"}])
    with pytest.raises(BadData, match=r"b\.csv: it lacks the column 'id'; all files must have the same"):
        load(tmp_path / "csv")


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"a,b\n1,2\n1,2,3,4\n"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n'),
        ("a.parquet", b"no"),
        ("a.arrow", b"no"),
        ("a.csv.gz", gzip.compress(b"a,b\n" + os.urandom(900).hex().encode())[:-300]),
        ("a.txt", b"\xff"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, streaming: bool) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadData, match=rf"{name}: cannot be read as "):
        load(tmp_path / name, streaming=streaming)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_file_of_other_content_and_the_same_time_gives_other_rows(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    os.utime(path, (1, 1))
    before = step(path).fingerprint()
    assert load(path, streaming=False) == ROWS
    os.utime(write(path, ROWS[::-1]), (1, 1))
    assert load(path, streaming=False) == ROWS[::-1]
    assert step(path).fingerprint() != before


def test_a_file_that_changes_while_it_is_read_halts_the_run(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv")
    loader = step(path, batch_size=1)
    rows = loader.process()
    next(rows)
    write(path, ROWS[::-1])
    with pytest.raises(FileChanged):
        list(rows)
