"""Artifacts: files that a step saves beside its rows, such as an index or a model, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import RunError, UsageError
from common.payloads.durable import sync_folder, sync_tree

ARTIFACTS = "artifacts"
"""Folder of a run directory, and of a dataset: `artifacts/<step>/<name>/`."""
METADATA = "metadata.json"
_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,99}")
_ARCHIVE = ".zip"

WriteFunction = Callable[[Path], object]


@dataclass(frozen=True, slots=True)
class ArtifactStore:
    """The artifacts of one run's steps.

    On a file system, an artifact is a folder, written under another name and then renamed. Elsewhere (`s3://...`) a
    folder cannot be renamed atomically, so the artifact is packed into one file.

    Args:
        url: a folder, or an fsspec URL.
    """

    url: str

    def save(self, step: str, name: str, write: WriteFunction, metadata: Mapping[str, Any]) -> None:
        """Saves an artifact, replacing an older one of the same name.

        Args:
            write: called with an empty folder; fills it.
            metadata: written to `metadata.json` beside the files.

        Raises:
            UsageError: the name is not a file name, or JSON cannot hold the metadata.
            OSError: the folder cannot be written to.
        """
        check_name(step, name)
        text = _json(step, name, metadata)
        if (folder := self._local()) is not None:
            draft = folder / step / f".{name}.{secrets.token_hex(6)}"
            try:
                _fill(draft, name, write, text)
                sync_tree(draft)  # the journal entry of the batch may be on disk at once
                _move(draft, folder / step / name)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            return
        with tempfile.TemporaryDirectory(prefix="penstock-artifact-") as draft_folder:
            draft = Path(draft_folder) / name
            _fill(draft, name, write, text)
            packed = shutil.make_archive(f"{draft}.packed", "zip", draft)
            filesystem, root = self._open()
            filesystem.makedirs(f"{root}/{step}", exist_ok=True)
            filesystem.put_file(packed, f"{root}/{step}/{name}{_ARCHIVE}")

    def collect(self, target: Path) -> None:
        """Copies every artifact below `target`, as `<step>/<name>/`; existing ones are replaced.

        Raises:
            RunError, OSError: the artifacts cannot be read, or `target` cannot be written.
        """
        if (folder := self._local()) is not None:
            for found in sorted(folder.glob("*/*")):
                if not found.name.startswith("."):  # a draft of a worker that died
                    place = _emptied(target / found.parent.name / found.name)
                    shutil.copytree(found, place, copy_function=_link_or_copy)
            return
        try:
            self._download(target)
        except Exception as error:  # each store has its own errors
            raise RunError(f"artifacts cannot be read from {self.url}: {error}") from error

    def _download(self, target: Path) -> None:
        filesystem, root = self._open()
        if not filesystem.exists(root):
            return
        for packed in sorted(filesystem.find(root)):
            step, name = str(packed).rsplit("/", 2)[1:]
            place = _emptied(target / step / name.removesuffix(_ARCHIVE))
            with tempfile.TemporaryDirectory(prefix="penstock-artifact-") as folder:
                filesystem.get_file(packed, f"{folder}/{name}")
                shutil.unpack_archive(f"{folder}/{name}", place, "zip")

    def _local(self) -> Path | None:
        """The folder, if it is on a file system."""
        if "://" not in self.url:
            return Path(self.url)
        return Path(self.url.removeprefix("file://")) if self.url.startswith("file://") else None

    def _open(self) -> tuple[Any, str]:
        import fsspec

        filesystem, folder = fsspec.core.url_to_fs(self.url)
        return filesystem, str(folder).rstrip("/")


def collect_artifacts(stores: Iterable[ArtifactStore], target: Path) -> list[str]:
    """Copies the artifacts of a run's workers, wherever they ran, and returns their names, as `<step>/<name>`."""
    for store in stores:
        store.collect(target)
    sync_tree(target)
    return sorted(f"{path.parent.name}/{path.name}" for path in target.glob("*/*"))


def check_name(step: str, name: str) -> None:
    """Raises UsageError for a name that cannot be a folder's."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"step '{step}': an artifact cannot be named {name!r}; use up to 100 letters, digits, '_', '-' and '.', "
            "beginning with a letter, a digit or '_'"
        )


def _json(step: str, name: str, metadata: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(metadata), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise UsageError(f"step '{step}': the metadata of artifact '{name}' cannot be JSON: {error}") from None


def _fill(draft: Path, name: str, write: WriteFunction, metadata: str) -> None:
    draft.mkdir(parents=True)
    write(draft)
    if (draft / METADATA).exists():
        raise UsageError(f"artifact '{name}' has its own {METADATA}, which is the file for its metadata; rename it")
    (draft / METADATA).write_text(metadata, encoding="utf-8")


def _move(draft: Path, target: Path) -> None:
    """A folder cannot replace a non-empty one, so an older artifact is moved away first."""
    while True:
        try:
            draft.rename(target)
            sync_folder(target.parent)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        old = target.with_name(f"{draft.name}.old")
        with suppress(FileNotFoundError):  # another worker moved it first
            target.rename(old)
            shutil.rmtree(old, ignore_errors=True)


def _emptied(place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _link_or_copy(source: str, destination: str) -> None:
    try:
        os.link(source, destination)
    except OSError:
        shutil.copy2(source, destination)
