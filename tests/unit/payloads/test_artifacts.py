"""Artifacts on a file system and in a store that can only take whole files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import RunError, SpecFault, UsageError
from common.payloads.artifacts import METADATA, ArtifactStore, collect_artifacts
from common.steps import KeepColumns
from coordinator.dataset.dataset_place import DatasetPlace
from tests.support.steps.sample_pipelines import LOAD, fault


@pytest.fixture(params=["folder", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """A folder, the same as a URL, and a store without folders."""
    name = tmp_path.name
    urls = {"folder": str(tmp_path / "run"), "file": f"file://{tmp_path}/run", "memory": f"memory://{name}/run"}
    return ArtifactStore(urls[request.param])


def writes(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "part").mkdir()
        (folder / "part" / "index.bin").write_text(text)

    return write


def found(store: ArtifactStore, target: Path) -> dict[str, str]:
    """File -> its text, of all that is collected."""
    collect_artifacts([store], target)
    return {path.relative_to(target).as_posix(): path.read_text() for path in target.rglob("*") if path.is_file()}


def test_an_artifact_is_collected_with_its_metadata(store: ArtifactStore, tmp_path: Path) -> None:
    store.save("embed", "index", writes("one"), {"rows": 3, "model": "mö"})
    assert collect_artifacts([store], tmp_path / "out") == ["embed/index"]
    folder = tmp_path / "out" / "embed" / "index"
    assert (folder / "part" / "index.bin").read_text() == "one"
    assert json.loads((folder / METADATA).read_text()) == {"rows": 3, "model": "mö"}


def test_an_artifact_that_is_saved_again_replaces_the_first(store: ArtifactStore, tmp_path: Path) -> None:
    store.save("embed", "index", lambda folder: (folder / "old").write_text("old"), {})
    store.save("embed", "index", writes("new"), {})
    assert found(store, tmp_path / "out") == {
        "embed/index/metadata.json": "{}\n",
        "embed/index/part/index.bin": "new",
    }


def test_a_write_that_fails_leaves_what_was_there(store: ArtifactStore, tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError("disk full")

    store.save("embed", "index", writes("whole"), {})
    for name in ("index", "other"):
        with pytest.raises(OSError, match="disk full"):
            store.save("embed", name, fails, {})
    assert found(store, tmp_path / "out") == {
        "embed/index/metadata.json": "{}\n",
        "embed/index/part/index.bin": "whole",
    }


def test_what_a_killed_worker_was_writing_is_not_collected(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "run"))
    store.save("embed", "index", writes("whole"), {})
    draft = tmp_path / "run" / "embed" / ".index.0a1b"
    draft.mkdir()
    (draft / "half").write_text("half")
    assert collect_artifacts([store], tmp_path / "out") == ["embed/index"]


def test_nothing_is_collected_from_a_run_without_artifacts(store: ArtifactStore, tmp_path: Path) -> None:
    assert collect_artifacts([store], tmp_path / "out") == []
    assert not (tmp_path / "out").exists()


def test_artifacts_of_workers_of_two_kinds_come_together(tmp_path: Path) -> None:
    stores = [ArtifactStore(f"memory://{tmp_path.name}/both"), ArtifactStore(str(tmp_path / "run"))]
    for store, step in zip(stores, ("far", "near"), strict=True):
        store.save(step, "index", writes(step), {})
    assert collect_artifacts(stores, tmp_path / "out") == ["far/index", "near/index"]


def test_a_broken_store_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="artifacts cannot be read from nosuch://bucket"):
        ArtifactStore("nosuch://bucket").collect(tmp_path)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../up", "a b", "x" * 101])
def test_a_name_that_is_no_folder_is_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(UsageError, match="an artifact cannot be named"):
        store.save("embed", name, writes("one"), {})


def test_metadata_that_is_not_json_is_refused(store: ArtifactStore) -> None:
    with pytest.raises(UsageError, match="the metadata of artifact 'index' cannot be JSON"):
        store.save("embed", "index", writes("one"), {"at": object()})


def test_a_file_in_the_place_of_the_metadata_is_refused(store: ArtifactStore) -> None:
    with pytest.raises(UsageError, match=r"'index' has its own metadata.json"):
        store.save("embed", "index", lambda folder: (folder / METADATA).write_text("{}"), {})


def test_a_step_without_a_place_says_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"step 'keep': there is no place to keep artifact 'index'.*--payloads URL"):
        KeepColumns(name="keep", columns=["a"]).save_artifact("index", writes("one"))


def test_a_leaf_may_not_take_the_folder_of_the_artifacts() -> None:
    error: SpecFault = fault({"load": LOAD, "artifacts": {"type": "Upper", "after": "load"}})
    assert error.loc == ("steps", "artifacts")
    assert "its rows would go where the dataset keeps artifacts" in error.message


def test_artifacts_of_a_users_own_keep_a_folder_from_being_replaced(tmp_path: Path) -> None:
    place = DatasetPlace(tmp_path, "embed")
    (tmp_path / ".penstock.json").write_text(
        json.dumps({"run": "embed-1a2b", "rows": {}, "artifacts": ["embed/index"]})
    )
    (tmp_path / "artifacts" / "embed" / "index").mkdir(parents=True)
    place.check()
    (tmp_path / "artifacts" / "embed" / "mine").mkdir()
    with pytest.raises(UsageError, match="artifacts/embed/mine"):
        place.check()
