"""A file or folder is the same one under every path that leads to it, and after a move; its copy is another one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from common.process.file_identity import FileIdentity


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def test_a_link_leads_to_the_same_folder(folder: Path) -> None:
    link = folder.with_name("link")
    link.symlink_to(folder)
    assert FileIdentity.at(link) == FileIdentity.at(folder)


def test_a_folder_that_was_moved_is_the_same_and_its_copy_is_another(folder: Path) -> None:
    before = FileIdentity.at(folder)
    moved = folder.rename(folder.with_name("moved"))
    copy = Path(shutil.copytree(moved, folder))
    assert FileIdentity.at(moved) == before
    assert FileIdentity.at(copy) != before


def test_a_file_is_what_its_open_descriptor_leads_to(folder: Path) -> None:
    with (folder / "file").open("w") as file:
        assert FileIdentity.told_by(os.fstat(file.fileno())) == FileIdentity.at(folder / "file")


def test_where_nothing_is_nothing_is_seen(folder: Path) -> None:
    assert FileIdentity.seen_at(folder / "absent") is None
    with pytest.raises(FileNotFoundError):
        FileIdentity.at(folder / "absent")
