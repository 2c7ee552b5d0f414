"""The dataset folder: what `datasets` reads in it, and which folders it may and may not replace."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from common.errors import RunError, UsageError
from common.settings import Settings
from coordinator.dataset.card import CardFacts
from coordinator.dataset.dataset import DatasetSummary, build_dataset
from coordinator.dataset.dataset_place import MARKER, DatasetPlace
from coordinator.dataset.leaf_schema import LeafSchema
from coordinator.dataset.partial import remove_partial, write_partial
from coordinator.dataset.parts import LeafWriter, Part
from tests.support import finished_runs

FACTS = replace(finished_runs.FACTS, failed={}, citations=())
Load = Callable[..., Any]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """`datasets.load_dataset`, offline, with every cache in the test's folder."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf" / "datasets"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    datasets.disable_progress_bars()

    def load_dataset(folder: Path, *config: str, streaming: bool = False) -> Any:
        cache = str(tmp_path / "hf" / "cache")
        return datasets.load_dataset(str(folder), *config, split="train", cache_dir=cache, streaming=streaming)

    return load_dataset


def check(target: Path) -> None:
    DatasetPlace(target, "quotes").check()


def write_parts(folder: Path, leaf: str, *parts: Sequence[dict[str, Any]]) -> list[Part]:
    writer = LeafWriter(folder, leaf, "e1", None, Settings())
    written = []
    for seq, rows in enumerate(parts):
        writer.add(seq, rows, 1, 0.0)
        written.append(writer.flush())
    return written


def build(tmp_path: Path, facts: CardFacts = FACTS, **leaves: Sequence[Sequence[dict[str, Any]]]) -> DatasetSummary:
    parts = {leaf: write_parts(tmp_path / "parts", leaf, *rows) for leaf, rows in leaves.items()}
    return build_dataset(tmp_path / "parts", parts, tmp_path / "out", facts)


def test_one_leaf_loads_by_default_and_by_its_name_in_row_order(tmp_path: Path, load: Load) -> None:
    summary = build(tmp_path, keep=[[{"id": 1}, {"id": 2}], [{"id": 3}]])
    assert summary.path == tmp_path / "out"
    assert summary.rows == {"keep": 3}
    files = sorted(entry.name for entry in (tmp_path / "out" / "keep").iterdir())
    assert [name[:20] for name in files] == ["train-00000-of-00002", "train-00001-of-00002"]
    assert summary.bytes == sum((tmp_path / "out" / "keep" / name).stat().st_size for name in files)
    assert list(load(tmp_path / "out")) == [{"id": 1}, {"id": 2}, {"id": 3}]
    assert list(load(tmp_path / "out", "keep")) == [{"id": 1}, {"id": 2}, {"id": 3}]


def test_what_is_loaded_is_what_is_on_disk_also_with_a_warm_cache(tmp_path: Path, load: Load) -> None:
    for number in (1, 2):
        home = tmp_path / f"pipeline-{number}"
        build(home, keep=[[{"id": number}]], other=[[{"other": number}]])
        assert list(load(home / "out")) == [{"id": number}]
        assert list(load(home / "out", "other")) == [{"other": number}]
    build(tmp_path / "pipeline-1", keep=[[{"id": 3}]], other=[[], [{"other": 1}]])
    assert list(load(tmp_path / "pipeline-1" / "out")) == [{"id": 3}]
    (tmp_path / "moved").mkdir()
    (tmp_path / "pipeline-2" / "out").rename(tmp_path / "moved" / "out")
    assert list(load(tmp_path / "moved" / "out")) == [{"id": 2}]


def test_several_leaves_are_one_config_each_and_the_first_is_the_default(tmp_path: Path, load: Load) -> None:
    build(tmp_path, zebra=[[{"z": 1}]], ant=[[{"a": 2}]], on=[[{"o": 3}]])
    assert list(load(tmp_path / "out")) == [{"z": 1}]
    assert list(load(tmp_path / "out", "ant")) == [{"a": 2}]
    assert list(load(tmp_path / "out", "on")) == [{"o": 3}]


def test_a_leaf_named_default_has_one_config(tmp_path: Path, load: Load) -> None:
    build(tmp_path, default=[[{"id": 1}]])
    assert list(load(tmp_path / "out", "default")) == [{"id": 1}]
    assert (tmp_path / "out" / "README.md").read_text().count("config_name") == 1


def test_a_leaf_without_rows_streams_with_its_known_columns_and_is_not_the_default(tmp_path: Path, load: Load) -> None:
    parts = {"never": [], "none": write_parts(tmp_path / "parts", "none", [], [])}
    parts["keep"] = write_parts(tmp_path / "parts", "keep", [{"id": 1}])
    known = {"never": ["text", "answer"], "none": ["text"]}
    summary = build_dataset(tmp_path / "parts", parts, tmp_path / "out", FACTS, known)
    assert summary.rows == {"never": 0, "none": 0, "keep": 1}
    assert list(load(tmp_path / "out")) == list(load(tmp_path / "out", "keep")) == [{"id": 1}]
    for leaf, columns in known.items():
        empty = load(tmp_path / "out", leaf, streaming=True)
        assert (empty.column_names, list(empty)) == (columns, [])


def test_a_dataset_without_any_row_can_be_opened(tmp_path: Path, load: Load) -> None:
    build_dataset(tmp_path / "parts", {"keep": []}, tmp_path / "out", FACTS, {"keep": ["text"]})
    assert load(tmp_path / "out", streaming=True).column_names == ["text"]
    assert pq.read_table(tmp_path / "out" / "keep").column_names == ["text"]


def test_parts_from_before_a_schema_grew_load_with_those_after_it(tmp_path: Path, load: Load) -> None:
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    before = {"n": 1, "score": 1, "meta": {"a": [1], "e": {}}, "many": [{"x": 1}, None], "empty": [], "at": None}
    late = {
        "n": 3,
        "score": 0.5,
        "meta": {"b": True, "a": [0.5], "e": {"f": "f"}},
        "many": [{"y": "t"}],
        "empty": [b"b"],
    }
    late |= {"at": noon, "new": [{"k": [None, {"v": 1}]}]}
    summary = build(tmp_path, keep=[[before, {"n": 2}], [late], [{"n": 4, "new": []}]])
    assert summary.rows == {"keep": 4}
    loaded = list(load(tmp_path / "out"))
    nothing = {"score": None, "meta": None, "many": None, "empty": None, "at": None, "new": None}
    many = [{"x": 1, "y": None}, None]
    assert loaded == [
        {**nothing, "n": 1, "score": 1.0, "meta": {"a": [1.0], "e": {"f": None}, "b": None}, "many": many, "empty": []},
        {**nothing, "n": 2},
        {
            "n": 3,
            "score": 0.5,
            "meta": {"a": [0.5], "e": {"f": "f"}, "b": True},
            "many": [{"x": None, "y": "t"}],
            "empty": [b"b"],
            "at": noon,
            "new": [{"k": [None, {"v": 1}]}],
        },
        {**nothing, "n": 4, "new": []},
    ]
    assert isinstance(loaded[0]["score"], float)
    schemas = {pq.read_schema(file) for file in (tmp_path / "out" / "keep").iterdir()}
    assert len(schemas) == 1


def test_columns_that_never_had_a_value_load_as_null(tmp_path: Path, load: Load) -> None:
    build(tmp_path, keep=[[{"id": 1, "a": None, "b": [], "c": {}, "d": {"e": None}}], [{"id": 2}]])
    assert list(load(tmp_path / "out")) == [
        {"id": 1, "a": None, "b": [], "c": None, "d": {"e": None}},
        {"id": 2, "a": None, "b": None, "c": None, "d": None},
    ]


def test_parts_without_rows_make_no_files(tmp_path: Path, load: Load) -> None:
    build(tmp_path, keep=[[], [{"id": 1}], [], [{"id": 2}]])
    assert len(list((tmp_path / "out" / "keep").iterdir())) == 2
    assert list(load(tmp_path / "out")) == [{"id": 1}, {"id": 2}]


def test_parts_that_have_the_final_schema_share_their_bytes_with_the_dataset(tmp_path: Path) -> None:
    build(tmp_path, keep=[[{"id": 1}], [{"id": 0.5}], [{"id": 2}]])
    links = [file.stat().st_nlink for file in sorted((tmp_path / "out" / "keep").iterdir())]
    assert links == [1, 2, 2]


def test_the_card_tells_what_is_in_the_dataset_and_how_to_make_it_again(tmp_path: Path) -> None:
    facts = CardFacts(
        "quotes", "Quotes.", "r1", "5f", "name: quotes\n", "the command", {"penstock": "0.1.0"}, {"gen": 2}
    )
    build(tmp_path, facts, keep=[[{"a|b": "x" * 1000, "n": [1] * 9, "raw": b"123", "fence": "```"}, {"n": [2]}]])
    card = (tmp_path / "out" / "README.md").read_text()
    for said in (
        "# quotes\n",
        "Quotes.\n",
        "keep: 2 rows",
        "| `a\\|b` | string |",
        "| `raw` | binary |",
        "| `gen` | 2 |",
    ):
        assert said in card
    for said in ("the command", "name: quotes", "`r1`", "`5f`", "penstock 0.1.0", '"<3 bytes>"', "````json", '"..."'):
        assert said in card
    assert "x" * 301 not in card


def test_a_dataset_of_ours_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    build(tmp_path, one=[[{"id": 1}]])
    check(tmp_path / "out")
    build(tmp_path, two=[[{"id": 2}]])
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == [MARKER, "README.md", "pipeline.yaml", "two"]
    assert (tmp_path / "out" / "pipeline.yaml").read_text() == FACTS.spec
    marker = json.loads((tmp_path / "out" / MARKER).read_text())
    assert marker.pop("facts")["description"] == "Quotes, answered."
    assert marker == {"penstock": 1, "run": "quotes-1a2b", "signature": "5f6e", "rows": {"two": 1}, "artifacts": []}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "parts"]


def test_a_folder_that_is_not_ours_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    check(tmp_path / "out")
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"holds thesis\.tex, which was not written by a run of Penstock"):
        check(tmp_path / "out")
    with pytest.raises(UsageError):
        build(tmp_path, keep=[[{"id": 1}]])
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("added", [".git", "keep/notes.txt"])
def test_a_dataset_of_ours_that_somebody_added_to_is_refused(tmp_path: Path, added: str) -> None:
    build(tmp_path, keep=[[{"id": 1}]])
    (tmp_path / "out" / added).write_text("mine")
    with pytest.raises(UsageError, match=f"holds {added}"):
        check(tmp_path / "out")


def test_a_file_in_the_place_of_a_leaf_is_not_ours(tmp_path: Path) -> None:
    build(tmp_path, keep=[[{"id": 1}]])
    shutil.rmtree(tmp_path / "out" / "keep")
    (tmp_path / "out" / "keep").write_text("mine")
    with pytest.raises(UsageError, match="holds keep, which was not written by a run"):
        check(tmp_path / "out")


def test_an_output_that_is_a_file_or_lies_below_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file; choose a new or empty folder"):
        check(tmp_path / "file")
    with pytest.raises(UsageError, match="is not a folder that this user may write to"):
        check(tmp_path / "file" / "deeper" / "out")


def test_an_output_below_folders_that_do_not_exist_yet_is_made(tmp_path: Path) -> None:
    check(tmp_path / "a" / "b")
    parts = {"keep": write_parts(tmp_path / "parts", "keep", [{"id": 1}])}
    build_dataset(tmp_path / "parts", parts, tmp_path / "a" / "b", FACTS)
    assert (tmp_path / "a" / "b" / MARKER).is_file()


def test_a_changed_part_ends_the_build_and_leaves_the_older_dataset(tmp_path: Path) -> None:
    build(tmp_path, keep=[[{"id": 1}]])
    parts = {"keep": write_parts(tmp_path / "parts2", "keep", [{"id": 2}])}
    (tmp_path / "parts2" / parts["keep"][0].name).write_bytes(b"zeros")
    with pytest.raises(RunError, match="its content is not what was written"):
        build_dataset(tmp_path / "parts2", parts, tmp_path / "out", FACTS)
    assert pq.read_table(tmp_path / "out" / "keep").to_pylist() == [{"id": 1}]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "parts", "parts2"]


def test_leftovers_of_a_build_that_died_are_cleared(tmp_path: Path) -> None:
    build(tmp_path, keep=[[{"id": 1}]])
    (tmp_path / "out").rename(tmp_path / ".out.penstock-quotes-1a2b.old")
    (tmp_path / ".out.penstock-quotes-1a2b.new").mkdir()
    build(tmp_path, keep=[[{"id": 2}]])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "parts"]
    assert pq.read_table(tmp_path / "out" / "keep").to_pylist() == [{"id": 2}]


def test_the_older_dataset_comes_back_if_a_build_died_while_replacing_it_and_the_next_one_fails(tmp_path: Path) -> None:
    build(tmp_path, keep=[[{"id": 1}]])
    (tmp_path / "out").rename(tmp_path / ".out.penstock-quotes-1a2b.old")
    parts = {"keep": write_parts(tmp_path / "parts2", "keep", [{"id": 2}])}
    (tmp_path / "parts2" / parts["keep"][0].name).unlink()
    with pytest.raises(RunError, match="it is not there"):
        build_dataset(tmp_path / "parts2", parts, tmp_path / "out", FACTS)
    assert pq.read_table(tmp_path / "out" / "keep").to_pylist() == [{"id": 1}]


def test_rows_survive_being_cast_in_memory_with_slices_and_nulls() -> None:
    early = [{"a": [{"x": 1}, None, {}]}, {"a": None}, {"a": []}, {"a": [{"x": 2}]}]
    source, _ = LeafSchema().grow(early)
    target, _ = source.grow([{"a": [{"x": 0.5, "y": [None]}]}])
    cast = target.final_table(source.table([{"a": [{"x": 9}] * 3}, *early]).slice(1), source)
    cast.validate(full=True)
    assert cast.to_pylist() == [
        {"a": [{"x": 1.0, "y": None}, None, {"x": None, "y": None}]},
        {"a": None},
        {"a": []},
        {"a": [{"x": 2.0, "y": None}]},
    ]


def test_partial_has_the_parts_so_far_and_says_that_it_is_incomplete(tmp_path: Path) -> None:
    parts = {"keep": write_parts(tmp_path / "parts", "keep", [{"id": 1}], [{"id": 2}]), "other": []}
    write_partial(tmp_path, tmp_path / "parts", {"keep": parts["keep"][:1], "other": []}, "stopped", "run it again")
    folder = write_partial(tmp_path, tmp_path / "parts", parts, "stopped by SIGINT", "run it again")
    assert folder == tmp_path / "partial"
    assert json.loads((folder / "INCOMPLETE.json").read_text()) == {
        "complete": False,
        "why": "stopped by SIGINT",
        "go_on": "run it again",
        "rows": {"keep": 2, "other": 0},
    }
    files = sorted((folder / "keep").iterdir())
    assert [pq.read_table(file).to_pylist() for file in files] == [[{"id": 1}], [{"id": 2}]]
    assert [file.stat().st_nlink for file in files] == [2, 2]


def test_what_is_loaded_of_partial_is_what_is_there_now(tmp_path: Path, load: Load) -> None:
    for number in (1, 2):
        parts = {"keep": write_parts(tmp_path / f"parts-{number}", "keep", [{"id": number}])}
        folder = write_partial(tmp_path, tmp_path / f"parts-{number}", parts, "stopped", "run it again")
        assert list(load(folder / "keep")) == [{"id": number}]


def test_partial_is_removed_and_its_parts_stay(tmp_path: Path) -> None:
    parts = {"keep": write_parts(tmp_path / "parts", "keep", [{"id": 1}])}
    write_partial(tmp_path, tmp_path / "parts", parts, "stopped", "run it again")
    remove_partial(tmp_path)
    remove_partial(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["parts"]
    assert (tmp_path / "parts" / parts["keep"][0].name).exists()
