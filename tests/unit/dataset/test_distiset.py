"""Distiset: the dataset of a run as DatasetDicts, split, saved and read again."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common.errors import UsageError
from coordinator.dataset.distiset import ARROW, Distiset
from tests.support.finished_runs import FACTS, finished_run

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {"id": 1, "text": "a", "raw": b"\x00\xff", "at": NOON, "meta": {"scores": [0.5]}, "nothing": None},
    {"id": 2, "text": "b", "raw": None, "at": None, "meta": None, "nothing": None},
]


def many(count: int) -> list[dict[str, Any]]:
    return [{"id": number} for number in range(count)]


def rows_of(distiset: Distiset) -> dict[str, dict[str, list[dict[str, Any]]]]:
    return {
        name: {split: [dict(row) for row in dataset] for split, dataset in splits.items()}
        for name, splits in distiset.items()
    }


def features_of(distiset: Distiset) -> dict[str, Any]:
    return {name: splits["train"].features for name, splits in distiset.items()}


def test_one_leaf_is_the_config_default(tmp_path: Path) -> None:
    distiset = Distiset.from_folder(finished_run(tmp_path, keep=ROWS))
    assert rows_of(distiset) == {"default": {"train": ROWS}}


def test_several_leaves_are_a_config_each_and_one_without_rows_has_its_columns(tmp_path: Path) -> None:
    distiset = Distiset.from_folder(finished_run(tmp_path, on=ROWS, empty=[]))
    assert rows_of(distiset) == {"on": {"train": ROWS}, "empty": {"train": []}}
    assert distiset["empty"]["train"].column_names == ["text"]


def test_columns_keep_the_types_of_the_files(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    folder = finished_run(tmp_path, keep=ROWS)
    stored = pq.read_schema(next((folder / "keep").glob("train-00000-of-00001-*.parquet")))
    schema = Distiset.from_folder(folder)["default"]["train"].features.arrow_schema
    # Only the inner name of a list's values differs.
    assert [(field.name, str(field.type)) for field in schema] == [
        (field.name, str(field.type).replace("element:", "item:")) for field in stored
    ]


def test_rows_are_mapped_from_a_file_in_the_run_directory(tmp_path: Path) -> None:
    distiset = Distiset.from_folder(finished_run(tmp_path, keep=ROWS))
    (file,) = distiset["default"]["train"].cache_files
    assert Path(file["filename"]).is_relative_to(tmp_path / ARROW)


def test_it_carries_the_pipeline_the_log_the_artifacts_the_failures_and_the_citations(tmp_path: Path) -> None:
    folder = finished_run(tmp_path, keep=ROWS)
    distiset = Distiset.from_folder(folder)
    assert distiset.pipeline == {"name": "quotes", "steps": {}}
    assert distiset.log == "the run is complete\n"
    assert distiset.artifacts == folder / "artifacts"
    assert distiset.failed == {"ask": 2}
    assert distiset.citations == ["@misc{ask, title={Asking}}"]


def test_a_copy_of_the_dataset_finds_its_log_in_the_run_directory_that_is_named(tmp_path: Path) -> None:
    folder = shutil.copytree(finished_run(tmp_path / "run", keep=ROWS), tmp_path / "copy")
    assert Distiset.from_folder(folder, run_directory=tmp_path / "run").log == "the run is complete\n"


def test_what_is_gone_with_the_run_directory_is_none(tmp_path: Path) -> None:
    distiset = Distiset.from_folder(finished_run(tmp_path / "run", keep=ROWS))
    shutil.rmtree(tmp_path / "run")
    assert (distiset.log, distiset.artifacts) == (None, None)


def test_kept_in_memory_it_outlives_its_folder(tmp_path: Path) -> None:
    distiset = Distiset.from_folder(finished_run(tmp_path / "run", keep=ROWS), keep_in_memory=True)
    assert not (tmp_path / "run" / ARROW).exists()
    shutil.rmtree(tmp_path / "run")
    assert rows_of(distiset) == {"default": {"train": ROWS}}
    assert distiset.log == "the run is complete\n"


def test_a_folder_that_no_run_has_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not the dataset of a run.*load_from_disk"):
        Distiset.from_folder(tmp_path)


def test_it_shows_splits_rows_and_columns(tmp_path: Path) -> None:
    distiset = Distiset.from_folder(finished_run(tmp_path, a=many(1_500), b=[]))
    assert repr(distiset) == "Distiset({\n    a: train: 1,500 rows of id\n    b: train: 0 rows of text\n})"
    assert repr(Distiset()) == "Distiset({})"


# splits


def test_a_split_has_the_share_asked_for_and_the_same_rows_for_the_same_seed(tmp_path: Path) -> None:
    folder = finished_run(tmp_path, keep=many(10))
    one, other, another = (Distiset.from_folder(folder).train_test_split(0.8, seed=seed) for seed in (7, 7, 8))
    assert {split: len(rows) for split, rows in one["default"].items()} == {"train": 8, "test": 2}
    assert rows_of(one) == rows_of(other) != rows_of(another)


def test_without_a_shuffle_the_last_rows_are_the_test(tmp_path: Path) -> None:
    distiset = Distiset.from_folder(finished_run(tmp_path, keep=many(4)))
    assert distiset.train_test_split(0.5, shuffle=False) is distiset
    assert rows_of(distiset)["default"] == {"train": many(2), "test": many(4)[2:]}


def test_a_leaf_without_rows_is_split_into_two_without_rows(tmp_path: Path) -> None:
    distiset = Distiset.from_folder(finished_run(tmp_path, keep=many(4), none=[])).train_test_split(0.5)
    assert {split: len(rows) for split, rows in distiset["none"].items()} == {"train": 0, "test": 0}


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1])
def test_a_share_that_is_none_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(UsageError, match="pass a number between 0 and 1"):
        Distiset.from_folder(finished_run(tmp_path, keep=many(4))).train_test_split(share)


def test_a_refused_split_splits_nothing(tmp_path: Path) -> None:
    distiset = Distiset.from_folder(finished_run(tmp_path, many=many(4), one=many(1)))
    with pytest.raises(UsageError, match="config 'one' has 1 rows, too few"):
        distiset.train_test_split(0.5)
    assert list(distiset["many"]) == ["train"]


def test_what_is_split_already_is_not_split_again(tmp_path: Path) -> None:
    distiset = Distiset.from_folder(finished_run(tmp_path, keep=many(4))).train_test_split(0.5)
    with pytest.raises(UsageError, match="has the splits train, test"):
        distiset.train_test_split(0.5)


# on disk


@pytest.mark.parametrize("target", ["folder", "memory://saved/distiset"])
def test_saved_and_loaded_again_it_is_the_same(tmp_path: Path, target: str) -> None:
    place = target if "://" in target else str(tmp_path / target)
    before = Distiset.from_folder(finished_run(tmp_path / "run", keep=ROWS, none=[])).train_test_split(0.5, seed=1)
    before.save_to_disk(place)
    after = Distiset.load_from_disk(place)
    assert rows_of(after) == rows_of(before)
    assert features_of(after) == features_of(before)
    assert (after.facts, after.pipeline, after.log) == (FACTS, before.pipeline, before.log)
    assert (after.failed, after.citations) == (before.failed, before.citations)
    assert after.artifacts is not None
    assert (after.artifacts / "ask" / "index" / "words.txt").read_text() == "to be"


def test_artifacts_from_elsewhere_go_with_the_distiset_or_to_the_folder_that_is_given(tmp_path: Path) -> None:
    Distiset.from_folder(finished_run(tmp_path / "run", keep=ROWS)).save_to_disk("memory://with/artifacts")
    loaded = Distiset.load_from_disk("memory://with/artifacts")
    folder = loaded.artifacts
    assert folder is not None
    del loaded
    assert not folder.exists()
    kept = Distiset.load_from_disk("memory://with/artifacts", download_dir=tmp_path / "kept")
    assert kept.artifacts == tmp_path / "kept" / "artifacts"


def test_saving_replaces_what_was_saved_there_before(tmp_path: Path) -> None:
    Distiset.from_folder(finished_run(tmp_path / "one", a=ROWS, b=ROWS)).save_to_disk(tmp_path / "saved")
    shutil.rmtree(tmp_path / "one" / "dataset" / "artifacts")
    after = Distiset.from_folder(finished_run(tmp_path / "two", c=many(3)))
    shutil.rmtree(tmp_path / "two" / "dataset" / "artifacts")
    after.save_to_disk(tmp_path / "saved", save_card=False)
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["default", "distiset_configs"]
    settings = sorted(path.name for path in (tmp_path / "saved" / "distiset_configs").iterdir())
    assert settings == ["distiset.json", "pipeline.log", "pipeline.yaml"]
    assert rows_of(Distiset.load_from_disk(tmp_path / "saved")) == {"default": {"train": many(3)}}


def test_the_card_of_a_saved_one_shows_its_splits(tmp_path: Path) -> None:
    distiset = Distiset.from_folder(finished_run(tmp_path / "run", keep=many(4))).train_test_split(0.75)
    distiset.save_to_disk(tmp_path / "saved")
    card = (tmp_path / "saved" / "distiset_configs" / "README.md").read_text()
    for said in ("## default: 4 rows (train: 3, test: 1)", "load_from_disk", "@misc{ask", "`artifacts/ask/index`"):
        assert said in card


def test_a_folder_of_dataset_dicts_is_a_distiset_without_a_run(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    DatasetDict({"train": Dataset.from_list(many(2))}).save_to_disk(tmp_path / "saved" / "leaf")
    (tmp_path / "saved" / "distiset_configs").mkdir()
    (tmp_path / "saved" / "distiset_configs" / "pipeline.yaml").write_text("pipeline: {name: theirs}")
    distiset = Distiset.load_from_disk(tmp_path / "saved")
    assert rows_of(distiset) == {"leaf": {"train": many(2)}}
    assert distiset.pipeline == {"pipeline": {"name": "theirs"}}
    assert (distiset.log, distiset.artifacts, distiset.citations) == (None, None, [])


def test_a_folder_without_a_distiset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no Distiset"):
        Distiset.load_from_disk(tmp_path)


# what programs put into it


def test_one_that_a_program_makes_can_be_saved_and_has_no_run(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    distiset = Distiset({"mine": DatasetDict({"train": Dataset.from_list(many(2))})})
    assert (distiset.pipeline, distiset.log, distiset.artifacts, distiset.citations) == (None, None, None, [])
    distiset.save_to_disk(tmp_path / "saved")
    assert rows_of(Distiset.load_from_disk(tmp_path / "saved")) == {"mine": {"train": many(2)}}
    assert "## How it was made" not in (tmp_path / "saved" / "distiset_configs" / "README.md").read_text()


@pytest.mark.parametrize("name", ["artifacts", "distiset_configs", "a/b", "..", ""])
def test_a_config_that_cannot_be_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    from datasets import Dataset, DatasetDict

    with pytest.raises(UsageError, match="cannot be the name of a folder"):
        Distiset({name: DatasetDict({"train": Dataset.from_list(many(1))})}).save_to_disk(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_what_is_no_dataset_dict_is_refused(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    rows = Dataset.from_list(many(1))
    other = Dataset.from_list([{"text": "a"}])
    with pytest.raises(
        UsageError, match=r"config 'a' is a Dataset, not a DatasetDict.*DatasetDict\(\{'train': rows\}\)"
    ):
        Distiset({"a": rows}).save_to_disk(tmp_path)
    with pytest.raises(UsageError, match=r"split 'test' has the columns \['text'\], and the others have \['id'\]"):
        Distiset({"a": DatasetDict({"train": rows, "test": other})}).save_to_disk(tmp_path)
    with pytest.raises(UsageError, match="config 'a' has no split"):
        Distiset({"a": DatasetDict()}).save_to_disk(tmp_path)
