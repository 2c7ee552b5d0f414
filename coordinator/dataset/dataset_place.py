"""Where a dataset is put: the folder has the older one or the new one, whole, whoever writes to it and dies meanwhile.

A dataset is made in a folder of another name beside its place (`.NAME.penstock-<random>.new`) and moved there; the one
that it replaces is moved away first (`.old`). Who does that has a lock on the place, so that whatever else of these
names is there was left by somebody who died, and is finished by whoever comes next.
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
    """A folder that is to have the dataset of a run.

    Args:
        target: the folder; it need not be there.
        pipeline: whose dataset it is to have.
        overwrite: also in the place of another pipeline's.
        shared: other runs may write there too. Nobody else does to a place in a run directory, which has a lock.
        patience: seconds that another run which writes there is waited for.
    """

    target: Path
    pipeline: str
    overwrite: bool = False
    shared: bool = True
    patience: float = 600.0

    def check(self) -> None:
        """Raises UsageError unless a dataset can be put there: a new or empty folder, or an untouched one of ours."""
        target = self._target
        while True:
            found = FileIdentity.seen_at(target)
            try:
                self._check_present()
                break
            except (UsageError, OSError) as error:
                if FileIdentity.seen_at(target) != found:
                    continue  # another run has replaced it under our eyes
                if isinstance(error, OSError):
                    raise UsageError(f"--output {target} cannot be read: {error}; give another folder") from None
                raise
        home = next(folder for folder in target.parents if folder.exists())
        if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
            raise UsageError(f"--output {target} cannot be made: {home} is not a folder that this user may write to")

    def _check_present(self) -> None:
        target = self._target
        if target.exists() or target.is_symlink():
            if not target.is_dir():
                raise UsageError(f"--output {target} is a file; give a folder that is new, or empty")
            self._check_dataset(target)
        elif replaced := self._replaced():
            self._check_dataset(replaced)

    @contextmanager
    def fill(self, tell: Callable[[str], None] = lambda _: None) -> Iterator[Path]:
        """A new, empty folder, which is the dataset once the block has ended; after an error all is as it was.

        Args:
            tell: is told who else writes there, if that has to be waited for.

        Raises UsageError (the place is not ours), RunError (somebody else is writing there), OSError (a full disk).
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
            tell(f"waiting for {holder}, which is writing to {self._target} as well")

        with ExitStack() as stack:
            try:
                alone = stack.enter_context(locked(lock, self.patience, say))
            except TimeoutError as error:
                raise RunError(f"{error.strerror} is writing to {self._target} as well; try again later") from None
            yield alone

    def _finish(self) -> None:
        """Brings back what was moved away by somebody who died, and deletes what else such have left."""
        if not self._target.exists() and (replaced := self._replaced()):
            replaced.rename(self._target)
        for left in self._leftovers():
            shutil.rmtree(left, ignore_errors=True)

    def _put(self, fresh: Path) -> None:
        """A reader sees the older folder, for a moment none, then the new one; never a mixture."""
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
                raise RunError(
                    f"the dataset could not be moved to {target}: {error}; run the same command again"
                ) from error
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
                f"--output {self._target} holds {foreign}, which no run of Penstock wrote, and is therefore not "
                "replaced; give another folder, or move what is in it"
            )
        if marker is None or self.overwrite:
            return
        run = str(marker.get("run", ""))
        owner = (marker.get("facts") or {}).get("name") or run.rpartition("-")[0]
        if owner != self.pipeline:
            raise UsageError(
                f"--output {self._target} holds the dataset of another pipeline, '{owner}' (run '{run}'): give another "
                "folder, or add --overwrite (overwrite=True in Python) to replace it"
            )

    @property
    def _target(self) -> Path:
        return self.target.resolve()

    def _beside(self, state: str) -> Path:
        return self._target.with_name(f".{self._target.name}.penstock-{secrets.token_hex(6)}.{state}")

    def _replaced(self) -> Path | None:
        """The dataset that was moved away last by somebody who died before there was another one."""
        old = [path for path in self._leftovers() if path.suffix == ".old"]
        return max(old, key=_moved, default=None)

    def _leftovers(self) -> list[Path]:
        name = re.compile(re.escape(f".{self._target.name}.penstock-") + r".+\.(new|old)")
        with suppress(OSError):
            return [path for path in self._target.parent.iterdir() if name.fullmatch(path.name)]
        return []


def _moved(folder: Path) -> int:
    """When it got its name, in ns; 0 where it is gone."""
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
    """Something in `folder` that we did not put there, relative to it; a dataset of ours may hold a `.git` by now."""
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
