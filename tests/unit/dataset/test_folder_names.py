"""Folders whose names `datasets` misreads: refused, or read nevertheless, never mixed with others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from common.errors import UsageError
from coordinator.cli import group
from coordinator.dataset.distiset import Distiset
from coordinator.dataset.folder_names import how_to_load, misread
from tests.support.finished_runs import finished_run

NAMES = [
    "out",
    "a[1",
    "a]b",
    "a[]",
    "{a,b}",
    "a b",
    "a%20b",
    "a#b",
    "a:b",
    "é",
    "a'b",
    'a"b',
    "a\\b",
    "$",
    "a$b",
    "${NO_SUCH_NAME}",
    "a\nb",
    "a.py/b",
]
MISREAD = {
    "out[1]": "'[1]' is a pattern",
    "a*b": "'*' is a pattern",
    "a?b": "'?' is a pattern",
    "x[1]/out": "'[1]' is a pattern",
    "a::b": "'::' is the link of two URLs",
    "$HOME": "'$HOME' is an environment variable",
    "a${HOME}": "'${HOME}' is an environment variable",
    "a.py": "'.py' is the end of a script",
}
ROWS = [{"id": 1}]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`datasets`, offline, with every cache in the test's own folder."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    datasets.disable_progress_bars()
    return datasets


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return finished_run(tmp_path / "run", keep=ROWS)


def put(dataset: Path, folder: Path) -> Path:
    """The dataset in a folder, beside a copy of it that a pattern may find."""
    shutil.copytree(dataset, folder.parent / "aXb")
    return Path(shutil.copytree(dataset, folder))


def loaded(hub: Any, folder: Path) -> list[dict[str, Any]]:
    """The rows, loaded by the code that users are shown."""
    return list(eval(how_to_load(folder), {"datasets": hub})["train"])


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_not_misread_loads(tmp_path: Path, dataset: Path, hub: Any, name: str) -> None:
    assert loaded(hub, put(dataset, tmp_path / "home" / name)) == ROWS


@pytest.mark.parametrize("name", ["out", "json", "imagefolder", "some/out", "hf:/me/quotes", "-x"])
def test_a_relative_name_loads(
    tmp_path: Path, dataset: Path, hub: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put(dataset, tmp_path / "home" / name)
    monkeypatch.chdir(tmp_path / "home")
    assert loaded(hub, Path(name)) == ROWS


@pytest.mark.parametrize("name", MISREAD)
def test_a_name_that_is_misread_does_not_load_its_rows_alone_and_is_said(
    tmp_path: Path, dataset: Path, hub: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = put(dataset, tmp_path / "home" / name)
    try:
        found = list(hub.load_dataset(str(folder), split="train"))
    except (OSError, RuntimeError):
        found = []
    assert found != ROWS, "else it need not be refused any more"
    assert misread(folder) == MISREAD[name]
    assert how_to_load(folder).startswith("once it is moved to a folder with another name")
    monkeypatch.chdir(folder)
    if name != "a.py":
        assert misread(Path("below")) == MISREAD[name]


@pytest.mark.parametrize("name", [*MISREAD, "~/out", "file:/out"])
def test_such_an_output_is_refused_before_the_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text("name: one\nsteps:\n  load: {type: LoadDataFromDicts, data: [{a: 1}]}\n")
    result = CliRunner().invoke(group, ["run", "spec.yaml", "--output", name, "--cache-dir", "cache"])
    assert result.exit_code == 2
    assert f"--output {name}: the dataset could not be loaded from there" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


@pytest.mark.parametrize("name", MISREAD)
def test_a_distiset_has_its_own_rows_or_says_why_not(tmp_path: Path, dataset: Path, hub: Any, name: str) -> None:
    folder = put(dataset, tmp_path / "home" / name)
    if "::" in name or "$" in name:
        with pytest.raises(UsageError, match=r"cannot read .* move the dataset to a folder with another name"):
            Distiset.from_folder(folder)
    else:
        distiset = Distiset.from_folder(folder)
        assert list(distiset["default"]["train"]) == ROWS


def test_a_saved_distiset_without_an_index_is_found_by_its_name(tmp_path: Path, dataset: Path, hub: Any) -> None:
    saved = tmp_path / "saved[1]"
    hub.DatasetDict({"train": hub.Dataset.from_list(ROWS)}).save_to_disk(saved / "default")
    assert list(Distiset.load_from_disk(saved)["default"]["train"]) == ROWS
