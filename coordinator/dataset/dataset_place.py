"""Where a dataset is put: the folder holds the old or the new one, whole, even if a writer dies in between.

A dataset is built in a folder next to its place (`.NAME.penstock-<random>.new`) and then moved there; the dataset that
it replaces is moved away first (`.old`). The writer holds a lock on the place. So any other folder with such a name was
left by a process that died, and the next writer finishes its work.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common.errors import RunError, UsageError
from common.payloads.artifacts import ARTIFACTS
from common.payloads.durable import sync_folder
from common.process.file_identity import FileIdentity
from coordinator.dataset.card import CARD, PIPELINE
from coordinator.runs.file_lock import locked

MARKER: Final = ".penstock.json"


@dataclass(frozen=True, slots=True)
class DatasetPlace:
    """A folder that will hold the dataset of a run.

    Args:
        target: the folder; it need not exist.
        pipeline: the pipeline whose dataset it will hold.
        overwrite: also replace the dataset of another pipeline.
        shared: other runs may write there too. A place in a run directory, which has a lock, is not shared.
        patience: seconds to wait for another run that is writing there.
    """

    target: Path
    pipeline: str
    overwrite: bool = False
    shared: bool = True
    patience: float = 600.0

    def check(self) -> None:
        """Raises UsageError unless a dataset can be put there: a new or empty folder, or an untouched dataset."""
        target = self._target
        while True:
            found = FileIdentity.seen_at(target)
            try:
                self._check_present()
                break
            except (UsageError, OSError) as error:
                if FileIdentity.seen_at(target) != found:
                    continue  # another run has just replaced it
                if isinstance(error, OSError):
                    raise UsageError(f"--output {target} cannot be read: {error}; choose another folder") from None
                raise
        home = next(folder for folder in target.parents if folder.exists())
        if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
            raise UsageError(f"--output {target} cannot be created: {home} is not a folder that this user may write to")

    def _check_present(self) -> None:
        target = self._target
        if target.exists() or target.is_symlink():
            if not target.is_dir():
                raise UsageError(f"--output {target} is a file; choose a new or empty folder")
            self._check_dataset(target)
        elif replaced := self._replaced():
            self._check_dataset(replaced)

    @contextmanager
    def fill(self, tell: Callable[[str], None] = lambda _: None) -> Iterator[Path]:
        """A new, empty folder that becomes the dataset at the end of the block; an error leaves everything unchanged.

        Args:
            tell: is told who else is writing there, if this has to wait.

        Raises UsageError (the place is not a dataset of Penstock), RunError (another run is writing there) or OSError
        (a full disk).
        """
        self.check()
        self._target.parent.mkdir(parents=True, exist_ok=True)
        with self._alone(tell) as alone:
            if alone:
                self._finish()
            fresh = self._beside("new")
            fresh.mkdir()
            try:
                yield fresh
                self._put(fresh)
            except BaseException:
                shutil.rmtree(fresh, ignore_errors=True)
                raise

    @contextmanager
    def _alone(self, tell: Callable[[str], None]) -> Iterator[bool]:
        if not self.shared:
            yield True
            return
        lock = self._target.with_name(f".{self._target.name}.penstock-lock")

        def say(holder: str) -> None:
            tell(f"waiting for {holder}, which is also writing to {self._target}")

        with ExitStack() as stack:
            try:
                alone = stack.enter_context(locked(lock, self.patience, say))
            except TimeoutError as error:
                raise RunError(f"{error.strerror} is also writing to {self._target}; try again later") from None
            yield alone

    def _finish(self) -> None:
        """Restores what a dead process had moved away, and deletes everything else that such processes left."""
        if not self._target.exists() and (replaced := self._replaced()):
            replaced.rename(self._target)
        for left in self._leftovers():
            shutil.rmtree(left, ignore_errors=True)

    def _put(self, fresh: Path) -> None:
        """A reader sees the old folder, briefly none, and then the new one, but never a mixture."""
        self.check()
        target, old = self._target, self._beside("old")
        try:
            if target.exists():
                target.rename(old)
            fresh.rename(target)
        except BaseException as error:
            with suppress(OSError):
                old.rename(target)
            if isinstance(error, OSError):
                raise RunError(f"the dataset could not be moved to {target}: {error}; rerun the command") from error
            raise
        finally:
            if old.exists() and target.exists():
                sync_folder(target.parent)
                shutil.rmtree(old, ignore_errors=True)
        sync_folder(target.parent)

    def _check_dataset(self, folder: Path) -> None:
        marker = _read_marker(folder)
        foreign = _foreign_entry(folder, marker)
        if foreign:
            raise UsageError(
                f"--output {self._target} holds {foreign}, which was not written by a run of Penstock, so the folder "
                "is not replaced; choose another folder, or move its contents away"
            )
        if marker is None or self.overwrite:
            return
        run = str(marker.get("run", ""))
        owner = (marker.get("facts") or {}).get("name") or run.rpartition("-")[0]
        if owner != self.pipeline:
            raise UsageError(
                f"--output {self._target} holds the dataset of another pipeline, '{owner}' (run '{run}'): choose "
                "another folder, or add --overwrite (overwrite=True in Python) to replace it"
            )

    @property
    def _target(self) -> Path:
        return self.target.resolve()

    def _beside(self, state: str) -> Path:
        return self._target.with_name(f".{self._target.name}.penstock-{secrets.token_hex(6)}.{state}")

    def _replaced(self) -> Path | None:
        """The dataset that was last moved away by a process that died before it put a new one there."""
        old = [path for path in self._leftovers() if path.suffix == ".old"]
        return max(old, key=_moved, default=None)

    def _leftovers(self) -> list[Path]:
        name = re.compile(re.escape(f".{self._target.name}.penstock-") + r".+\.(new|old)")
        with suppress(OSError):
            return [path for path in self._target.parent.iterdir() if name.fullmatch(path.name)]
        return []


def _moved(folder: Path) -> int:
    """When it got its name, in ns; 0 if it is gone."""
    with suppress(OSError):
        return folder.stat().st_ctime_ns
    return 0


def _read_marker(folder: Path) -> dict[str, Any] | None:
    try:
        marker: dict[str, Any] = json.loads((folder / MARKER).read_text())
        set(marker["rows"]), set(marker.get(ARTIFACTS, ()))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return marker


def _foreign_entry(folder: Path, marker: dict[str, Any] | None) -> str | None:
    """A path in `folder`, relative to it, that Penstock did not put there; a dataset may contain a `.git` by now."""
    entries = sorted(entry.name for entry in folder.iterdir())
    if marker is None:
        return entries[0] if entries else None
    leaves, artifacts = set(marker["rows"]), set(marker.get(ARTIFACTS, ()))
    for entry in entries:
        if entry in leaves and (folder / entry).is_dir():
            for file in (folder / entry).iterdir():
                if not (file.name.startswith("train-") and file.suffix == ".parquet"):
                    return f"{entry}/{file.name}"
        elif entry == ARTIFACTS:
            found = {path.relative_to(folder / entry).as_posix() for path in (folder / entry).glob("*/*")}
            if foreign := sorted(found - artifacts):
                return f"{entry}/{foreign[0]}"
        elif entry not in (CARD, MARKER, PIPELINE):
            return entry
    return None
