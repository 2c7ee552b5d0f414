"""Rows, lines and values of files that have no end: refused with file and line, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from common.errors import RunError, UsageError
from tests.support.files import compress, load


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    filesystem.store.clear()


MIB = 1 << 20


def bomb(name: str, size: int) -> bytes:
    """A text of one row, and nothing but it."""
    match name.partition(".")[2].removesuffix(".gz").removesuffix(".zst"):
        case "csv":
            return b'a,b\n"' + b"x" * size + b'",1\n'
        case "json":
            return b'[\n{"a": "' + b"x" * size + b'"}]'
        case _:
            return b'\n{"a": "' + b"x" * size + b'"}\n'


@pytest.mark.parametrize(
    "name", ["a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.txt.gz", "a.jsonl.zst", "a.json.zst", "a.csv"]
)
def test_a_row_without_end_is_refused_with_its_line_in_bounded_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(compress(name, bomb(name, 80 * MIB)))
    tracemalloc.start()
    try:
        with pytest.raises(
            UsageError, match=rf"^{path}:2: an? \w+ of more than 1,048,576 bytes; .* max_row_bytes"
        ) as late:
            load(path, max_row_bytes=MIB)
        assert tracemalloc.get_traced_memory()[1] < (45 if name.endswith("zst") else 12) * MIB
    finally:
        tracemalloc.stop()
    assert not isinstance(late.value, RunError)  # which would be tried again


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b"\n" * 2 * MIB + b"{}"),
        ("a.jsonl", b" " * 2 * MIB + b"{}"),
        ("a.json", b'{"a": 1}' + b" \n" * MIB + b"{}"),
        ("a.csv", b"a\n1\n" + b"\n" * 2 * MIB + b"2\n"),
        ("a.csv", b"a,b\n" + b'"x\n","y\n",' * MIB),
        ("utf-16.jsonl", ('{"a": "' + "x" * 2 * MIB + '"}').encode("utf-16")),
    ],
    ids=["blank lines", "blank line", "white space", "empty records", "fields of many lines", "utf-16"],
)
def test_what_has_no_row_for_long_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    encoding = "utf-16" if name.startswith("utf-16") else "utf-8"
    with pytest.raises(UsageError, match=r":\d+: [a-z ]+ of more than 1,048,576 bytes"):
        load(tmp_path / name, max_row_bytes=MIB, encoding=encoding)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt"])
def test_a_long_row_is_read_where_the_limit_is_raised(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bomb(name, 3 * MIB))
    with pytest.raises(UsageError, match="max_row_bytes"):
        load(tmp_path / name, max_row_bytes=MIB)
    assert len(str(load(tmp_path / name, max_row_bytes=4 * MIB)[-1])) > 3 * MIB


def test_lines_of_another_file_system_are_bounded_too(memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe_file("/bounded/a.jsonl", bomb("a.jsonl", 3 * MIB))
    with pytest.raises(UsageError, match=r"memory://.*a\.jsonl:2: a line of more than 1,048,576 bytes"):
        load("memory://bounded/a.jsonl", max_row_bytes=MIB)
    assert len(load("memory://bounded/a.jsonl")) == 1


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize(
    ("value", "message"),
    [("[" * 100_000, "nested too deeply"), ('{"a":' * 100_000, "nested too deeply"), ("9" * 5_000, "limit")],
)
def test_json_that_python_cannot_read_is_named_with_file_and_line(
    tmp_path: Path, name: str, value: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text('{"a": 1}\n{"a": ' + value + "}\n")
    with pytest.raises(RunError, match=rf"^{path}:2: .*{message}"):
        load(path)
