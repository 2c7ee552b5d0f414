"""A folder of files, on this host: what it returns, and what it says when it is unusable."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from common.errors import StoreAway, StoreError
from common.payloads.folder import Folder, check_url


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_what_was_put_is_read_listed_and_deleted(tmp_path: Path, form: str) -> None:
    folder = Folder(form.format(tmp_path / "new" / "one"))
    folder.make()
    folder.put("a", b"rows")
    assert folder.get("a") == b"rows"
    assert folder.names() == ["a"]
    folder.delete("a")
    folder.delete("a")
    assert folder.names() == []
    folder.remove()
    folder.remove()
    assert not (tmp_path / "new" / "one").exists()


def test_a_store_that_is_reached_with_fsspec_does_the_same() -> None:
    folder = Folder("memory://bucket/of-a-test")
    folder.make()
    folder.try_out()
    folder.put("a", b"rows")
    assert folder.get("a") == b"rows"
    assert folder.names() == ["a"]
    folder.delete("a")
    assert folder.names() == []
    with pytest.raises(FileNotFoundError):
        folder.get("a")
    folder.put("b", b"")
    folder.remove()
    folder.remove()
    assert folder.names() == []


def test_a_folder_that_is_not_there_cannot_be_written_to_and_nobody_makes_it(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "not-mounted"))
    with pytest.raises(StoreError, match=r"not-mounted cannot be written to: .*; is it mounted\?"):
        folder.put("a", b"rows")
    assert folder.names() == []
    assert not (tmp_path / "not-mounted").exists()


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    Folder(str(tmp_path)).put("a", b"rows")
    with pytest.raises(StoreError, match="File exists"):
        Folder(str(tmp_path)).put("a", b"others")
    assert (tmp_path / "a").read_bytes() == b"rows"


def test_a_disk_that_is_full_may_have_room_again_and_half_a_file_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreAway, match="No space left"):
        Folder(str(tmp_path)).put("a", b"rows")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(StoreError, match="Permission denied"):
        Folder(str(tmp_path)).try_out()


def test_a_file_in_the_place_of_the_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be made: .*File exists"):
        Folder(str(tmp_path / "file")).make()


def test_a_kind_of_store_that_nobody_knows_is_refused() -> None:
    with pytest.raises(StoreError, match="Protocol not known: s4"):
        check_url("s4://bucket/folder")


@pytest.mark.parametrize(
    ("url", "remedy"),
    [("s3://bucket/folder", r"pip install 'penstock\[s3\]'"), ("gs://bucket/folder", "pip install 'gcsfs'")],
)
def test_a_store_whose_package_is_missing_says_what_to_install(
    url: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    def not_installed(protocol: str) -> type:
        raise ImportError(f"Install something to access {protocol}")

    monkeypatch.setattr(fsspec, "get_filesystem_class", not_installed)
    with pytest.raises(StoreError, match=remedy):
        check_url(url)


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/folder", "sftp://user:pa/ss@host/folder"])
def test_a_url_with_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(StoreError, match="take its credentials from the environment") as refused:
        check_url(url)
    assert "secret" not in str(refused.value)
    assert str(refused.value).startswith("it contains a password")


@pytest.mark.parametrize("url", ["/mnt/shared/rows", "relative", "file:///mnt/rows", "sftp://user@host/rows"])
def test_other_urls_are_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    monkeypatch.setattr(fsspec, "get_filesystem_class", lambda protocol: object)
    check_url(url)
