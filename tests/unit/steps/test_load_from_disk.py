"""LoadDataFromDisk: what `save_to_disk` and runs leave, any offset, constant memory, errors that name the choices."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from datasets.utils.logging import disable_progress_bar
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from common.errors import RunError, UsageError
from common.steps import LoadDataFromDisk
from common.steps.base import Row
from coordinator import Distiset

ROWS: list[Row] = [{"id": number, "text": f"text {number}", "tags": ["a", str(number)]} for number in range(23)]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    disable_progress_bar()


def load(path: Path | str, offset: int = 0, **options: Any) -> list[Row]:
    step = LoadDataFromDisk(dataset_path=str(path), batch_size=5, **options)
    step.load()
    return [row for rows, _ in step.process(offset) for row in rows]


def save(path: Path, rows: list[Row] = ROWS, shards: int = 1) -> Path:
    Dataset.from_list(rows).save_to_disk(path, num_shards=shards)
    return path


def of_a_run(folder: Path, leaves: dict[str, Sequence[list[Row]]]) -> Path:
    """A folder like the dataset of a run: Parquet files of one split for each leaf."""
    for leaf, pieces in leaves.items():
        (folder / leaf).mkdir(parents=True)
        for number, rows in enumerate(pieces):
            name = f"train-{number:05d}-of-{len(pieces):05d}.parquet"
            parquet.write_table(pa.Table.from_pylist(rows), folder / leaf / name)
    (folder / ".penstock.json").write_text(json.dumps({"penstock": 1, "rows": dict.fromkeys(leaves, 1)}))
    (folder / "README.md").write_text("# demo")
    return folder


@pytest.mark.parametrize("shards", [1, 3])
def test_a_saved_dataset_is_read_from_all_its_files_in_order(tmp_path: Path, shards: int) -> None:
    path = save(tmp_path / "saved", shards=shards)
    assert load(path) == load(f"file://{path}/") == load(path, split="train") == ROWS


def test_a_split_of_a_dataset_dict_is_read(tmp_path: Path) -> None:
    both = Dataset.from_list(ROWS)
    DatasetDict(train=both.select(range(20)), test=both.select([22, 20])).save_to_disk(tmp_path)
    assert load(tmp_path, split="train") == ROWS[:20]
    assert load(tmp_path, split="test") == [ROWS[22], ROWS[20]]
    with pytest.raises(UsageError, match="has several splits; choose one with split: train, test"):
        load(tmp_path)
    with pytest.raises(UsageError, match="has no split 'tests'; did you mean 'test'"):
        load(tmp_path, split="tests")
    DatasetDict(only=both).save_to_disk(tmp_path / "one")
    assert load(tmp_path / "one") == ROWS


def test_the_dataset_of_a_run_is_read_leaf_by_leaf(tmp_path: Path) -> None:
    path = of_a_run(tmp_path / "run", {"keep": [ROWS[:11], ROWS[11:]], "other": [[{"x": 1}]]})
    assert load(path, config="keep") == ROWS
    assert load(path, config="other") == load(path / "other") == [{"x": 1}]
    with pytest.raises(UsageError, match="has several configs; choose one with config: keep, other"):
        load(path)
    with pytest.raises(UsageError, match="has no config 'ceep'; did you mean 'keep'"):
        load(path, config="ceep")
    assert load(of_a_run(tmp_path / "single", {"keep": [ROWS]})) == ROWS


def test_a_config_called_default_need_not_be_said(tmp_path: Path) -> None:
    DatasetDict(train=Dataset.from_list(ROWS)).save_to_disk(tmp_path / "default")
    DatasetDict(train=Dataset.from_list([{"x": 1}])).save_to_disk(tmp_path / "other")
    (tmp_path / "distiset_configs").mkdir()
    (tmp_path / "README.md").write_text("# data")
    assert load(tmp_path) == ROWS
    assert load(tmp_path, config="other") == [{"x": 1}]


def test_a_saved_distiset_is_read_config_by_config(tmp_path: Path) -> None:
    splits = DatasetDict(train=Dataset.from_list(ROWS))
    Distiset({"keep": splits, "other": splits.filter(lambda row: row["id"] > 20)}).save_to_disk(tmp_path)
    assert load(tmp_path, config="keep") == ROWS
    assert load(tmp_path, config="other") == ROWS[21:]


def test_another_filesystem_is_read_alike(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    saved = save(tmp_path / "saved", shards=2)
    run = of_a_run(tmp_path / "run", {"keep": [ROWS]})
    try:
        memory.put(str(saved), "/penstock-disk/saved", recursive=True)
        memory.put(str(run), "/penstock-disk/run", recursive=True)
        for path in ("memory://penstock-disk/saved", "memory://penstock-disk/run"):
            assert load(path, offset=7) == ROWS[7:]
            assert LoadDataFromDisk(dataset_path=path).outputs == ["id", "text", "tags"]
            assert len(LoadDataFromDisk(dataset_path=path).fingerprint()) == 32
    finally:
        memory.rm("/penstock-disk", recursive=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(offset=st.integers(0, 26), batch_size=st.integers(1, 12), limit=st.none() | st.integers(1, 30))
def test_from_any_offset_the_same_rows_follow(
    tmp_path_factory: pytest.TempPathFactory, offset: int, batch_size: int, limit: int | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "offsets"
    if not path.exists():
        save(path, shards=4)
    step = LoadDataFromDisk(dataset_path=str(path), batch_size=batch_size, num_examples=limit)
    batches = list(step.process(offset))
    assert [row for rows, _ in batches for row in rows] == ROWS[:limit][offset:]
    assert [last for _, last in batches] == [False] * (len(batches) - 1) + [True] * bool(batches)
    assert all(len(rows) == batch_size for rows, last in batches if not last)


def test_its_columns_are_known_before_the_run_also_without_rows(tmp_path: Path) -> None:
    path = save(tmp_path / "saved")
    step = LoadDataFromDisk(dataset_path=str(path), output_mappings={"text": "prompt"})
    assert step.outputs == ["id", "text", "tags"]
    assert step.output_columns(set()) == {"id", "prompt", "tags"}
    Dataset.from_list(ROWS).filter(lambda _: False).save_to_disk(tmp_path / "empty")
    assert LoadDataFromDisk(dataset_path=str(tmp_path / "empty")).outputs == ["id", "text", "tags"]
    assert load(tmp_path / "empty") == []
    Dataset.from_dict({"id": []}).save_to_disk(tmp_path / "without_files")
    assert load(tmp_path / "without_files") == []
    elsewhere = LoadDataFromDisk(dataset_path=str(tmp_path / "missing"))
    assert elsewhere.outputs == []
    assert elsewhere.output_columns(set()) is None


def test_labels_come_as_their_numbers(tmp_path: Path) -> None:
    features = Features({"label": ClassLabel(names=["no", "yes"]), "text": Value("large_string")})
    Dataset.from_list([{"label": "yes", "text": "a"}], features=features).save_to_disk(tmp_path)
    assert load(tmp_path) == [{"label": 1, "text": "a"}]


def test_a_path_that_is_no_dataset_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no folder .*/missing' on host"):
        load(tmp_path / "missing")
    with pytest.raises(UsageError, match="is not a dataset: neither it nor a folder in it was written by save_to_disk"):
        load(tmp_path)
    with pytest.raises(UsageError, match="has no configs, so there is no 'keep' in it; omit config"):
        load(save(tmp_path / "saved"), config="keep")
    with pytest.raises(UsageError, match="step 'load' has no dataset_path yet"):
        LoadDataFromDisk(name="load").load()


def test_a_damaged_dataset_is_refused_with_the_file(tmp_path: Path) -> None:
    path = save(tmp_path / "saved", shards=2)
    (path / "data-00001-of-00002.arrow").write_bytes(b"no arrow")
    with pytest.raises(RunError, match=r"data-00001-of-00002.arrow: cannot be read as Arrow"):
        load(path)
    (path / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(RunError, match=r"is damaged: the file data-00001-of-00002.arrow is missing"):
        load(path)
    (path / "state.json").write_text("{")
    with pytest.raises(RunError, match=r"state.json is not JSON"):
        load(path)
    run = of_a_run(tmp_path / "run", {"keep": [ROWS[:9], ROWS[9:]]})
    (run / "keep" / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(RunError, match=r"the file train-00000-of-00002.parquet is missing"):
        load(run)


def test_a_truncated_file_is_an_error_and_not_a_shorter_dataset(tmp_path: Path) -> None:
    path = save(tmp_path / "saved", [{"text": "x" * 100} for _ in range(5_000)])
    file = path / "data-00000-of-00001.arrow"
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(RunError, match="cannot be read as Arrow"):
        load(path)


def test_the_fingerprint_changes_with_the_data(tmp_path: Path) -> None:
    def fingerprint(path: Path) -> str:
        return LoadDataFromDisk(dataset_path=str(path)).fingerprint()

    path = save(tmp_path / "saved")
    before = fingerprint(path)
    shutil.copytree(path, tmp_path / "copy")
    assert fingerprint(tmp_path / "copy") == before
    shutil.rmtree(path)
    assert fingerprint(save(path, ROWS[:-1])) != before


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_memory_does_not_grow_with_the_dataset(tmp_path: Path, kind: str) -> None:
    rows = [{"text": f"{number:05d}" * 200} for number in range(20_000)]  # 20 MB
    if kind == "arrow":
        path = save(tmp_path / "saved", rows)
    else:
        path = of_a_run(tmp_path / "run", {"keep": [rows[start : start + 2_000] for start in range(0, 20_000, 2_000)]})
    step, before, count = LoadDataFromDisk(dataset_path=str(path)), pa.total_allocated_bytes(), 0
    del rows
    tracemalloc.start()
    most = 0
    for some, _ in step.process():
        count += len(some)
        most = max(most, pa.total_allocated_bytes() - before)
    assert count == 20_000
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    assert most < 8 << 20


def test_the_folder_of_a_spec_is_where_a_relative_path_starts() -> None:
    assert LoadDataFromDisk.path_fields == ("dataset_path",)
    assert json.loads(LoadDataFromDisk(dataset_path="x").model_dump_json())["dataset_path"] == "x"
