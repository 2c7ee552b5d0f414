"""Parts: when they are due, what is in them, and what a crash or a full disk leaves."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from common.errors import RunError
from common.settings import Settings
from coordinator.dataset.leaf_schema import LeafSchema
from coordinator.dataset.part_check import check_digest, check_parts
from coordinator.dataset.parts import LeafWriter, Part

SETTINGS = Settings(part_rows=10, part_bytes=1000, flush_interval=60)


def writer(folder: Path, schema: LeafSchema | None = None, token: str = "e1") -> LeafWriter:
    return LeafWriter(folder, "keep", token, schema, SETTINGS)


def rows(*ids: int) -> list[dict[str, Any]]:
    return [{"id": number, "text": f"row {number}"} for number in ids]


def written(folder: Path, *batches: list[dict[str, Any]], first: int = 0, token: str = "e1") -> Part:
    leaf = writer(folder, token=token)
    for seq, batch in enumerate(batches, first):
        leaf.add(seq, batch, 10, 0.0)
    return leaf.flush()


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """The kernel refuses, with an OSError, to let a file of this process grow beyond `limit` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_part_holds_its_batches_in_order_under_a_name_of_leaf_seqs_and_epoch(tmp_path: Path) -> None:
    part = written(tmp_path / "parts", rows(1, 2), rows(3), first=7)
    path = tmp_path / "parts" / "keep-7-8-e1.parquet"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name] == [part.name]
    assert pq.read_table(path).to_pylist() == rows(1, 2, 3)
    assert (part.leaf, part.first_seq, part.last_seq, part.rows) == ("keep", 7, 8, 3)
    assert part.size == path.stat().st_size
    assert part.digest == hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize(
    ("count", "nbytes", "now", "due"),
    [(9, 999, 159.9, False), (10, 0, 100.0, True), (1, 1000, 100.0, True), (1, 1, 160.0, True), (0, 0, 160.0, True)],
)
def test_a_part_is_due_by_rows_bytes_or_age(tmp_path: Path, count: int, nbytes: int, now: float, due: bool) -> None:
    leaf = writer(tmp_path)
    leaf.add(0, rows(*range(count)), nbytes, 100.0)
    leaf.add(1, [], 0, 159.0)
    assert leaf.due(now) is due


def test_an_empty_buffer_is_never_due_and_refuses_to_be_written(tmp_path: Path) -> None:
    leaf = writer(tmp_path)
    assert not leaf.due(1e9)
    with pytest.raises(ValueError, match="no batch"):
        leaf.flush()


def test_the_buffer_is_empty_after_a_part_and_ages_anew(tmp_path: Path) -> None:
    leaf = writer(tmp_path)
    leaf.add(0, rows(1), 500, 0.0)
    leaf.flush()
    assert (leaf.batches, leaf.rows, leaf.bytes) == (0, 0, 0)
    leaf.add(1, rows(2), 500, 100.0)
    assert not leaf.due(159.0)
    assert pq.read_table(tmp_path / leaf.flush().name).to_pylist() == rows(2)


def test_batches_without_rows_count_in_the_seqs(tmp_path: Path) -> None:
    part = written(tmp_path, [], rows(1), [])
    assert (part.name, part.rows) == ("keep-0-2-e1.parquet", 1)
    assert written(tmp_path, [], first=3).rows == 0
    assert pq.read_table(tmp_path / "keep-3-3-e1.parquet").num_rows == 0


def test_a_batch_out_of_order_is_refused(tmp_path: Path) -> None:
    leaf = writer(tmp_path)
    leaf.add(4, [], 0, 0.0)
    leaf.add(6, [], 0, 0.0)  # batch 5 has no rows
    with pytest.raises(ValueError, match="batch 6 added after batch 6"):
        leaf.add(6, [], 0, 0.0)


def test_a_failed_row_is_told_by_its_batch_and_place_and_is_not_in_the_file(tmp_path: Path) -> None:
    bad = {"id": "four", "text": "row 4"}
    part = written(tmp_path, rows(1, 2), [*rows(3), bad, *rows(5)], first=3)
    assert pq.read_table(tmp_path / part.name).to_pylist() == rows(1, 2, 3, 5)
    assert part.rows == 4
    [failed] = part.failed
    assert (failed.seq, failed.index, failed.column, failed.row) == (4, 1, "id", bad)
    assert failed.reason == "column 'id' holds str where int is expected"


def test_a_writer_that_takes_over_goes_on_with_the_journaled_schema(tmp_path: Path) -> None:
    first = written(tmp_path, [{"id": 1}])
    leaf = writer(tmp_path, LeafSchema.from_bytes(first.schema), "e2")
    leaf.add(1, [{"id": "x"}, {"id": 2, "text": "new"}], 1, 0.0)
    part = leaf.flush()
    assert [row.column for row in part.failed] == ["id"]
    assert [name for name, _ in LeafSchema.from_bytes(part.schema).columns] == ["id", "text"]


def test_a_full_disk_leaves_no_file_and_the_buffer_as_it_was(tmp_path: Path) -> None:
    leaf = writer(tmp_path)
    leaf.add(0, [{"id": 1, "blob": bytes(range(256)) * 40}, {"id": "bad"}], 700, 5.0)
    with full_disk(100), pytest.raises(OSError, match="File too large"):
        leaf.flush()
    assert list(tmp_path.iterdir()) == []
    assert (leaf.batches, leaf.rows, leaf.bytes, leaf.due(65.0), leaf.schema) == (1, 2, 700, True, LeafSchema())
    leaf.add(1, [{"id": 2}], 1, 6.0)
    part = leaf.flush()
    assert (part.name, part.rows, len(part.failed)) == ("keep-0-1-e1.parquet", 2, 1)


def test_parts_that_no_journal_entry_names_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    mine = written(tmp_path, rows(1))
    written(tmp_path, rows(2), first=1, token="old")
    (tmp_path / "keep-2-2-old.parquet.tmp").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    check_parts(tmp_path, [mine])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [mine.name, "notes.txt"]


def test_a_run_without_parts_needs_no_folder(tmp_path: Path) -> None:
    check_parts(tmp_path / "parts", [])


def test_the_first_missing_part_is_named_before_anything_is_deleted(tmp_path: Path) -> None:
    first, second, third = (written(tmp_path, rows(seq), first=seq) for seq in range(3))
    stray = written(tmp_path, rows(9), first=9)
    (tmp_path / second.name).unlink()
    (tmp_path / third.name).unlink()
    with pytest.raises(RunError, match=r"keep-1-1-e1\.parquet .*it is not there: the run directory is not shared"):
        check_parts(tmp_path, [first, second, third])
    assert (tmp_path / stray.name).exists()


def test_a_part_cut_short_is_named(tmp_path: Path) -> None:
    part = written(tmp_path, rows(1))
    (tmp_path / part.name).write_bytes(b"PAR1")
    with pytest.raises(RunError, match=f"it has 4 bytes instead of {part.size}"):
        check_parts(tmp_path, [part])


def test_a_part_with_other_content_is_named(tmp_path: Path) -> None:
    part = written(tmp_path, rows(1))
    check_digest(tmp_path, part)
    with pytest.raises(RunError, match="its content is not what was written"):
        check_digest(tmp_path, replace(part, digest="00"))
