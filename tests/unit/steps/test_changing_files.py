"""A data file that changes while it is read: nothing of what it becomes is a row, and whoever reads it says so."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from datasets import Dataset
from pyarrow import parquet

from common.errors import FileChanged, UsageError, WireError
from common.steps import LoadDataFromDisk, LoadDataFromFile, ReadDocuments
from common.steps.base import Row
from common.steps.loading.file_loader import FileLoader
from common.steps.loading.file_states import DataFiles
from tests.unit.steps.test_files import write

FORMATS = ["a.jsonl", "a.json", "a.csv", "a.txt", "a.parquet", "a.jsonl.gz", "a.jsonl.zst", "saved"]
COUNT = 5_000


def rows(word: str) -> list[Row]:
    return [{"text": f"{word} {number:06d} {number * 7919 % 100_003:06d}"} for number in range(COUNT)]


def save(path: Path, word: str) -> Path:
    """Writes the rows in the format that the name tells, in place where it is one file."""
    if path.name == "saved":
        Dataset.from_list(rows(word)).save_to_disk(str(path))
    else:
        write(path, rows(word))
    return path


def loader(path: Path) -> FileLoader:
    if path.name == "saved":
        return LoadDataFromDisk(name="load", dataset_path=str(path), batch_size=10)
    return LoadDataFromFile(name="load", path=str(path), batch_size=10)


def data_file(path: Path) -> Path:
    return next(path.glob("*.arrow")) if path.is_dir() else path


def rewrite(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    save(path, "new")


def replace_by_another(path: Path) -> None:
    other = save(path.parent / "other" / path.name, "new") if path.is_dir() else None
    file = data_file(path)
    draft = file.with_name("draft")
    draft.write_bytes(data_file(other).read_bytes() if other else file.read_bytes()[::-1])
    draft.rename(file)


def edit_the_middle(path: Path) -> None:
    file = data_file(path)
    with file.open("r+b") as stream:
        stream.seek(file.stat().st_size // 2)
        stream.write(b"XX")


def append(path: Path) -> None:
    with data_file(path).open("ab") as stream:
        stream.write(b"\n")


def remove(path: Path) -> None:
    data_file(path).unlink()


CHANGES = [rewrite, replace_by_another, edit_the_middle, append, remove]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change.__name__))
def test_no_row_comes_of_a_file_that_changes_between_two_batches(
    tmp_path: Path, name: str, change: Callable[[Path], None]
) -> None:
    (tmp_path / "other").mkdir()
    path = save(tmp_path / name, "old")
    batches = loader(path).process()
    made = [row for some, _ in islice(batches, 3) for row in some]
    shown = data_file(path).name
    change(path)
    with pytest.raises(FileChanged, match=shown):
        made.extend(row for some, _ in batches for row in some)
    assert made == rows("old")[: len(made)]
    assert len(made) < COUNT


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change.__name__))
def test_a_worker_that_goes_on_compares_with_what_the_run_began_with(
    tmp_path: Path, name: str, change: Callable[[Path], None]
) -> None:
    (tmp_path / "other").mkdir()
    path = save(tmp_path / name, "old")
    snapshot = loader(path).snapshot()
    change(path)
    with suppress(FileNotFoundError, StopIteration):
        os.utime(data_file(path), (1_000, 1_000))
    again = loader(path)
    again.pin(snapshot)
    with pytest.raises(Exception, match=r"has changed since the run began|is damaged|matches no file"):
        list(again.process(50))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_is_touched_while_it_is_read_gives_its_rows(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, "old")
    batches = loader(path).process()
    made = [row for some, _ in islice(batches, 3) for row in some]
    os.utime(data_file(path), (1_000, 1_000))
    made += [row for some, _ in islice(batches, 2) for row in some]
    data_file(path).write_bytes(data_file(path).read_bytes())
    made += [row for some, _ in batches for row in some]
    assert made == rows("old")


def test_a_file_that_holds_for_a_moment_less_than_before_loses_no_row(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jsonl", "old")
    data = path.read_bytes()
    batches = loader(path).process()
    made = [row for some, _ in islice(batches, 3) for row in some]
    os.truncate(path, 60_000)
    with pytest.raises(FileChanged, match="bytes, but had"):
        made += [row for some, _ in batches for row in some]
    path.write_bytes(data)
    assert made == rows("old")[: len(made)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.jsonl.gz"])
def test_a_large_file_is_not_read_before_its_first_row_and_a_touch_of_it_ends_the_run(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.steps.loading.file_states.SMALL_BYTES", 1_000)
    path = save(tmp_path / name, "old")
    step = loader(path)
    assert [state.whole for state in step.file_states().files] == [""]
    batches = step.process()
    next(batches)
    os.utime(path, (1_000, 1_000))
    with pytest.raises(FileChanged, match=r"it was written at 1970-01-01"):
        list(batches)


def chmod(path: Path) -> None:
    path.chmod(0o640)


def link(path: Path) -> None:
    os.link(path, path.with_name("link"))


def edit_the_middle_and_put_the_time_back(path: Path) -> None:
    before = path.stat()
    edit_the_middle(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [chmod, link], ids=lambda change: str(change.__name__))
@pytest.mark.parametrize("limit", [0, 1_000_000], ids=["large", "small"])
def test_a_change_of_the_mode_or_the_links_of_a_file_is_none(
    tmp_path: Path, limit: int, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.steps.loading.file_states.SMALL_BYTES", limit)
    path = save(tmp_path / "a.jsonl", "old")
    step = loader(path)
    batches = step.process()
    made = [row for some, _ in islice(batches, 3) for row in some]
    change(path)
    made += [row for some, _ in batches for row in some]
    assert made == rows("old")
    assert step.digests() == [""], "what was read meanwhile may have been anything"
    again = loader(path)
    again.pin(step.snapshot())
    assert len(list(again.process())) == COUNT // 10


@pytest.mark.parametrize("while_read", [True, False])
def test_bytes_count_where_all_are_known_also_where_the_time_was_put_back(tmp_path: Path, while_read: bool) -> None:
    path = save(tmp_path / "a.jsonl", "old")
    step = loader(path)
    step.file_states()
    batches = step.process()
    if while_read:
        next(batches)
    edit_the_middle_and_put_the_time_back(path)
    with pytest.raises(FileChanged, match="its content differs"):
        list(batches)


def test_an_edit_whose_time_was_put_back_is_not_seen_where_the_bytes_between_the_ends_are_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.steps.loading.file_states.SMALL_BYTES", 0)
    monkeypatch.setattr("common.steps.loading.file_states.END_BYTES", 1_000)
    path = save(tmp_path / "a.txt", "old")
    step = loader(path)
    step.file_states()
    edit_the_middle_and_put_the_time_back(path)
    assert len(list(step.process())) == COUNT // 10
    assert step.digests() == [""], "of what the run began with nobody has read the whole"


@pytest.mark.parametrize("name", FORMATS)
def test_who_reads_a_large_file_to_its_end_knows_its_digest(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / name, "old")
    whole = [state.whole for state in loader(path).file_states().files]
    assert all(whole)
    monkeypatch.setattr("common.steps.loading.file_states.SMALL_BYTES", 1_000)
    step = loader(path)
    batches = step.process()
    next(batches)
    assert step.digests() == [""] * len(whole)
    assert len(list(batches)) == COUNT // 10 - 1
    assert step.digests() == whole


def test_files_that_come_to_a_pattern_later_are_of_another_run(tmp_path: Path) -> None:
    for name in ("b.jsonl", "d.jsonl"):
        save(tmp_path / name, name[0])
    step = LoadDataFromFile(name="load", path=str(tmp_path / "*.jsonl"), batch_size=1_000)
    snapshot = step.snapshot()
    for name in ("a.jsonl", "c.jsonl"):
        save(tmp_path / name, name[0])
    again = LoadDataFromFile(name="load", path=str(tmp_path / "*.jsonl"), batch_size=1_000)
    again.pin(snapshot)
    assert [row for some, _ in again.process() for row in some] == [*rows("b"), *rows("d")]
    (tmp_path / "d.jsonl").unlink()
    with pytest.raises(FileChanged, match=r"d\.jsonl has changed since the run began: it is gone"):
        list(again.process(COUNT + 10))


def test_another_host_may_have_a_copy_in_another_folder(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    path = save(tmp_path / "here" / "a.jsonl", "old")
    data = replace(loader(path).file_states(), host="another")
    unread = replace(data, files=tuple(replace(state, whole="") for state in data.files))
    copy = Path(shutil.copyfile(path, tmp_path / "there" / path.name))
    for known in (data, unread):
        step = loader(copy)
        step.pin(known.encode())
        assert sum(len(some) for some, _ in step.process()) == COUNT
    edit_the_middle(copy)
    step = loader(copy)
    step.pin(data.encode())
    with pytest.raises(FileChanged):
        next(step.process())


def test_a_file_elsewhere_is_told_by_its_version_or_else_its_time() -> None:
    filesystem = fsspec.filesystem("memory")
    lines = "".join(json.dumps(row) + "\n" for row in rows("old")).encode()
    changed = lines[: len(lines) // 2] + b"X" + lines[len(lines) // 2 + 1 :]
    try:
        filesystem.pipe("/changing/a.jsonl", lines * 3)
        batches = LoadDataFromFile(name="load", path="memory://changing/a.jsonl", batch_size=10).process()
        next(batches)
        filesystem.pipe("/changing/a.jsonl", lines + changed + lines)
        with pytest.raises(FileChanged, match=r"memory://.*a\.jsonl has changed"):
            list(batches)
    finally:
        filesystem.store.clear()


def test_columns_of_parquet_and_a_limit_end_before_the_file_does(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"n": list(range(COUNT)), "text": ["x"] * COUNT}), path, row_group_size=500)
    step = LoadDataFromFile(name="load", path=str(path), columns=["n"], batch_size=10)
    batches = step.process(COUNT - 1_000)
    assert next(batches)[0][0] == {"n": COUNT - 1_000}
    edit_the_middle(path)
    with pytest.raises(FileChanged):
        list(batches)


def test_a_snapshot_that_no_version_writes_is_refused(tmp_path: Path) -> None:
    for text in ("", "x", "{}", '{"host": 1, "files": []}', '{"host": "a", "files": [{"path": "b"}]}'):
        with pytest.raises(WireError, match="start over with --fresh"):
            LoadDataFromFile(name="load", path=str(tmp_path / "a.jsonl")).pin(text)
    assert DataFiles.decode(DataFiles("a", ()).encode()) == DataFiles("a", ())


def test_a_file_that_the_system_cannot_read_is_named_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "a.txt").symlink_to("/proc/self/mem")  # its first bytes are an I/O error, also for root
    for step in (
        LoadDataFromFile(name="load", path=str(tmp_path / "*.txt")),
        ReadDocuments(name="load", path=str(tmp_path)),
    ):
        with pytest.raises(UsageError, match=r"a\.txt cannot be read: .*; make it readable, or leave it out"):
            step.fingerprint()
