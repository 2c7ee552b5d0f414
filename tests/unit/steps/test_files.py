"""LoadDataFromFile: every format, any offset, constant memory, and errors that name file and line."""

from __future__ import annotations

import csv
import gzip
import json
import os
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from pydantic import ValidationError

from common.errors import BadData, RunError, UsageError
from common.steps import LoadDataFromFile
from common.steps.base import Row
from tests.support.files import compress, load

ROWS: list[Row] = [{"id": str(number), "text": f"line {number}, “quoted”\nand more"} for number in range(23)]


def write(path: Path, rows: list[Row]) -> Path:
    """Writes rows in the format and the compression that the name of the file tells."""
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    if name.endswith(".parquet"):
        parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=4)
        return path
    if name.endswith(".jsonl"):
        text = "".join(json.dumps(row) + "\n" for row in rows)
    elif name.endswith(".json"):
        text = json.dumps(rows, indent=1)
    elif name.endswith(".txt"):
        text = "".join(row["text"] + "\n" for row in rows)
    else:
        plain = path.with_name("plain")
        with plain.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], delimiter="\t" if name.endswith(".tsv") else ",")
            writer.writeheader()
            writer.writerows(rows)
        text = plain.read_bytes().decode()
        plain.unlink()
    path.write_bytes(compress(path.name, text.encode()))
    return path


NAMES = ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet", "a.jsonl.gz", "a.jsonl.zst", "a.csv.gz", "a.json.zst"]


@pytest.mark.parametrize("name", NAMES)
def test_every_format_gives_the_rows_that_were_written(tmp_path: Path, name: str) -> None:
    assert load(write(tmp_path / name, ROWS)) == ROWS


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(offset=st.integers(0, 50))
def test_it_starts_at_any_row_of_several_files(tmp_path: Path, name: str, offset: int) -> None:
    for number, rows in enumerate((ROWS, ROWS[:3], ROWS[3:12])):
        write(tmp_path / f"{number}{name}", rows)
    rows = [*ROWS, *ROWS[:3], *ROWS[3:12]]
    assert load(tmp_path / f"*{name}", offset) == rows[offset:]


def test_only_the_last_batch_is_marked_as_last(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.jsonl", ROWS[:10]))
    batches = list(LoadDataFromFile(name="load", path=path, batch_size=5).process())
    assert [(len(rows), last) for rows, last in batches] == [(5, False), (5, True)]


def test_a_text_file_gives_a_row_per_line_whatever_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("one\r\n\ntwo\u2028still two\nthree".encode())
    assert load(path) == [{"text": "one"}, {"text": ""}, {"text": "two\u2028still two"}, {"text": "three"}]


def test_blank_lines_of_jsonl_are_no_rows_and_do_not_count_in_the_offset(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('\n{"a": 1}\n  \r\n{"a": 2}\n\n')
    assert load(path) == [{"a": 1}, {"a": 2}]
    assert load(path, offset=1) == [{"a": 2}]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("[]", []),
        ("", []),
        ('{"a": [1, {"b": "}"}]}', [{"a": [1, {"b": "}"}]}]),
        ('{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ('[{"a": 1.5e3},\n{"a": -1}]\n', [{"a": 1500.0}, {"a": -1}]),
    ],
)
def test_a_json_file_holds_an_array_an_object_or_objects(tmp_path: Path, text: str, rows: list[Row]) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    assert load(path) == rows


def test_a_json_array_is_read_over_the_borders_of_its_chunks(tmp_path: Path) -> None:
    rows = [{"n": 10**15 + number, "text": "x" * (number * 37 % 5_000), "deep": [{"é": None}]} for number in range(300)]
    rows.append({"n": 1, "text": "y" * 300_000})
    rows += [{"a": True, "b": None, "c": -1.5e-30, "é": "ü" * (number % 3)} for number in range(50_000)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows))
    assert load(path) == rows


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_does_not_end_in_the_first_column(tmp_path: Path, name: str, encoding: str) -> None:
    plain = write(tmp_path / name, [{"text": "ä"}, {"text": "ö"}])
    plain.write_bytes(plain.read_bytes().decode().encode(encoding))
    assert load(plain, encoding="utf-8" if encoding == "utf-8-sig" else encoding) == [{"text": "ä"}, {"text": "ö"}]


def test_a_byte_order_mark_is_dropped_where_the_encoding_does_not_ask_for_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufefftext\nä\n".encode("utf-16-le"))
    assert load(path, encoding="utf-16-le") == [{"text": "ä"}]


def test_another_encoding_is_read_when_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("name\ncafé\n".encode("latin-1"))
    assert load(path, encoding="latin-1") == [{"name": "café"}]
    with pytest.raises(RunError, match=r"a\.csv:2: not utf-8: .* at byte 3 of the line; set encoding"):
        load(path)


def test_csv_values_stay_the_strings_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('zip,note\n007,\n"1,5","long ""quote"""\n')
    assert load(path) == [{"zip": "007", "note": ""}, {"zip": "1,5", "note": 'long "quote"'}]


def test_a_csv_field_may_be_larger_than_the_default_limit_of_the_library(tmp_path: Path) -> None:
    assert load(write(tmp_path / "a.csv", [{"text": "x" * 200_000}])) == [{"text": "x" * 200_000}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"a": 1}\n\n{"a": \n', r"a\.jsonl:3: not JSON: Expecting value"),
        ("a.jsonl", '{"a": 1}\n[1]\n', r"a\.jsonl:2: a row must be a JSON object, but this is a list"),
        ("a.json", '[{"a": 1},\n\n{"a" 2}]', r"a\.json:3: not JSON: Expecting ':'"),
        ("a.json", '[{"a": 1},\n{"a": 2}', r"a\.json:2: not JSON: the array is not closed"),
        ("a.json", '[{"a": 1},\n{"a": "2', r"a\.json:2: not JSON: Unterminated string"),
        ("a.json", '[{"a": 1}\n{"a": 2}]', r"a\.json:2: not JSON: a comma or \] is missing"),
        ("a.json", '[{"a": 1},\n]', r"a\.json:2: not JSON: a comma before the end"),
        ("a.json", '[{"a": 1}]\n{"a": 2}', r"a\.json:2: not JSON: something follows"),
        ("a.json", "[1, 2]", r"a\.json:1: a row must be a JSON object, but this is a int"),
        ("a.csv", 'a,b\n1,2\n"x\ny",2,3\n', r"a\.csv:4: 3 fields, but the header names 2"),
        ("a.csv", "a,b\n1\n", r"a\.csv:2: 1 fields, but the header names 2"),
        ("a.csv", "a,a\n1,2\n", r"a\.csv:1: two columns of the header have the same name"),
        ("a.csv", 'a,b\n1,"2\n3,4\n', r"a\.csv:3: not CSV: unexpected end of data"),
        ("a.parquet", "PAR1 no", r"a\.parquet: cannot be read as Parquet"),
    ],
)
def test_what_cannot_be_read_is_named_with_file_and_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(RunError, match=message):
        load(tmp_path / name)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.json.zst"])
@pytest.mark.parametrize("damage", ["truncated", "garbled"])
def test_a_damaged_compressed_file_is_an_error_not_a_shorter_file(tmp_path: Path, name: str, damage: str) -> None:
    path = write(tmp_path / name, [{"n": os.urandom(40).hex()} for _ in range(4_000)])
    data = path.read_bytes()
    middle = len(data) * 3 // 4
    path.write_bytes(data[:middle] if damage == "truncated" else data[:middle] + b"\0" * 99 + data[middle + 99 :])
    with pytest.raises(RunError, match=str(path)):
        load(path)


def test_a_gzip_file_whose_blocks_are_of_no_type_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    data = gzip.compress(b'{"n": 1}\n')
    path.write_bytes(data[:10] + bytes([0b111]) + data[11:])  # the last block, of type 3
    with pytest.raises(BadData, match=f"{path}: cannot be read: .*invalid block type"):
        load(path)


def test_files_are_read_in_the_order_of_the_list_and_sorted_within_a_pattern(tmp_path: Path) -> None:
    for name in ("b1", "b0", "a"):
        write(tmp_path / f"{name}.jsonl", [{"from": name}])
    paths = [str(tmp_path / "b*.jsonl"), str(tmp_path / "*.jsonl")]
    assert [row["from"] for row in load(paths)] == ["b0", "b1", "a"]


def test_a_file_whose_name_looks_like_a_pattern_is_found(tmp_path: Path) -> None:
    assert load(write(tmp_path / "a[1].jsonl", ROWS)) == ROWS


def test_no_matching_file_is_an_error_that_names_pattern_place_and_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        load("data/*.jsonl")
    for part in ("'data/*.jsonl'", str(tmp_path / "data/*.jsonl"), socket.gethostname()):
        assert part in str(caught.value)


def test_a_folder_is_an_error_that_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is a folder .*; name the files in it"):
        load(tmp_path, format="jsonl")


@pytest.mark.parametrize("path", ["a.dat", "folder/a", "a.jsnl.gz"])
def test_a_format_that_the_name_does_not_tell_is_refused_before_the_run(path: str) -> None:
    with pytest.raises(ValidationError, match="does not show its format"):
        LoadDataFromFile(name="load", path=path)


def test_a_format_that_a_matching_file_does_not_tell_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_text("x")
    with pytest.raises(UsageError, match=r"a\.dat' does not show its format"):
        load(tmp_path / "*")
    assert load(tmp_path / "*", format="txt") == [{"text": "x"}]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet"])
def test_selected_columns_come_in_the_order_of_the_selection(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [{"a": "1", "b": "2", "c": "3"}])
    assert [list(row.items()) for row in load(path, columns=["c", "a"])] == [[("c", "3"), ("a", "1")]]


def test_a_selected_column_that_one_json_object_lacks_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"a": 1}, {"a": 2, "b": 3}])
    assert load(path, columns=["a", "b"]) == [{"a": 1, "b": None}, {"a": 2, "b": 3}]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_selected_column_may_be_seen_first_after_a_thousand_rows(tmp_path: Path, name: str) -> None:
    path = str(write(tmp_path / name, [{"id": i} | ({"label": "x"} if i >= 1_200 else {}) for i in range(1_300)]))
    step = LoadDataFromFile(name="load", path=path, columns=["id", "label"], batch_size=1_300)
    step.load()
    ((rows, _),) = step.process()
    assert [row["label"] for row in rows] == [None] * 1_200 + ["x"] * 100
    with pytest.raises(UsageError, match="no column 'lable'; did you mean 'label'"):
        LoadDataFromFile(name="load", path=path, columns=["id", "lable"]).load()


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": 1, "b": 2, "a": 3}\n', "a.jsonl:2: an object has two values called 'a'"),
        ("a.json", '[{"a": 1},\n{"a": {"b": 2, "b": 3}}]', "a.json:2: an object has two values called 'b'"),
        ("a.csv", "a,b,a\n1,2,3\n", "a.csv:1: two columns of the header have the same name"),
    ],
)
def test_two_values_of_one_name_are_refused_with_file_and_line(
    tmp_path: Path, name: str, content: str, error: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(RunError, match=error):
        load(tmp_path / name)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet"])
def test_a_selected_column_that_no_row_has_is_found_at_load(tmp_path: Path, name: str) -> None:
    path = str(write(tmp_path / name, [{"text": "a"}]))
    with pytest.raises(UsageError, match=r"no column 'txet'; did you mean 'text'\?"):
        LoadDataFromFile(name="load", path=path, columns=["txet"]).load()


def test_its_outputs_are_the_columns_of_the_first_rows(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.jsonl", [{"a": 1}, {"b": 2}]))
    step = LoadDataFromFile(name="load", path=path, output_mappings={"a": "id"})
    assert step.outputs == ["a", "b"]
    assert step.output_columns(None) == {"id", "b"}


def test_its_columns_are_unknown_where_the_files_are_not() -> None:
    step = LoadDataFromFile(name="load", path="/nowhere/a.jsonl")
    assert step.outputs == []
    assert step.output_columns(None) is None
    assert LoadDataFromFile(name="load", path="/nowhere/a.jsonl", columns=["a"]).output_columns(None) == {"a"}


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    filesystem.store.clear()


def test_urls_of_fsspec_are_read(memory: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    for name in ("b.jsonl.zst", "a.parquet", "c.csv.gz"):
        memory.pipe(f"/folder/{name}", write(tmp_path / name, ROWS).read_bytes())
    assert load("memory://folder/*.*") == [*ROWS, *ROWS, *ROWS]
    assert load(f"file://{tmp_path}/a.parquet", offset=20) == ROWS[20:]
    with pytest.raises(UsageError, match=r"memory:///?folder/x\*"):
        load("memory://folder/x*")


def test_the_fingerprint_changes_with_head_tail_size_and_the_set_of_files_and_not_with_the_time(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": f"line {number:02d}" + "x" * 10_000} for number in range(23)])
    os.utime(path, (1_000, 1_000))

    def fingerprint() -> str:
        return LoadDataFromFile(name="load", path=str(tmp_path / "*.jsonl")).fingerprint()

    seen = [fingerprint()]
    os.utime(path, (2_000, 2_000))
    assert fingerprint() == seen[0]
    for old, new in ((b"line 00", b"line XX"), (b"line 22", b"line YY"), (b"line 22", b"line 022")):
        path.write_bytes(path.read_bytes().replace(old, new) + (b"" if len(old) == len(new) else b"\n"))
        seen.append(fingerprint())
    write(tmp_path / "b.jsonl", ROWS[:1])
    seen.append(fingerprint())
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt", "a.jsonl.zst", "a.jsonl.gz"])
def test_memory_does_not_grow_with_the_size_of_the_file(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [{"text": f"{number} " + "x" * 1_000} for number in range(20_000)])
    step = LoadDataFromFile(name="load", path=str(path))
    tracemalloc.start()
    try:
        assert sum(len(rows) for rows, _ in step.process()) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_row_groups_of_parquet_before_the_offset_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"n": list(range(1_000))}), path, row_group_size=100)
    metadata = parquet.ParquetFile(path).metadata
    data = bytearray(path.read_bytes())
    for group in range(9):
        chunk = metadata.row_group(group).column(0)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        data[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(data)
    assert load(path, offset=950) == [{"n": number} for number in range(950, 1_000)]
    with pytest.raises(RunError, match="cannot be read as Parquet"):
        load(path)
