"""Files that are there whole, or as they were."""

import os
from pathlib import Path

import pytest

from common.payloads.durable import new_file, replace_file, sync_tree


def test_a_file_takes_the_place_of_another_one(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["run.json"]


def test_a_file_stays_as_it_was_where_it_cannot_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    replace_file(path, b"one")
    (tmp_path / ".run.json.new").mkdir()
    with pytest.raises(OSError):
        replace_file(path, b"two")
    assert path.read_bytes() == b"one"


def test_a_new_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "part"
    with new_file(path) as file:
        file.write(b"rows")
        assert not path.exists()
    assert path.read_bytes() == b"rows"
    assert os.listdir(tmp_path) == ["part"]


def test_nothing_is_left_of_a_new_file_that_was_not_finished(tmp_path: Path) -> None:
    def interrupted() -> None:
        with new_file(tmp_path / "part") as file:
            file.write(b"rows")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == []


def test_a_link_that_leads_nowhere_does_not_stand_in_the_way_of_a_tree(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    sync_tree(tmp_path)
