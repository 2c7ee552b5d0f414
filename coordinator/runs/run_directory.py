"""The directory of a run: its record, parts, log and the embedded broker's data; owned by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shlex
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from common.cache import make_private
from common.errors import Fenced, RunError, UsageError
from common.payloads.artifacts import ARTIFACTS
from common.payloads.durable import replace_file, sync_folder
from common.process.file_identity import FileIdentity
from common.protocol.holder import Holder
from common.protocol.status import EndStatus
from common.words.shown_url import redact
from coordinator.runs.bill import Bill
from coordinator.runs.discard import discard, sweep
from coordinator.runs.file_lock import holder_of_lock, is_still_at, take_lock, this_process

SIGNATURE_LENGTH = 12
RECORD = "run.json"
DATASET = "dataset"
"""Folder in the run directory that holds the dataset of a complete run."""
CONDEMNED = ".removed.json"
"""The record of a run that is being removed: it is neither listed nor resumed; the next command finishes this.
"""
LOCK = "lock"
LOCK_PATIENCE = 0.3  # seconds; `holder` briefly takes the lock to see whether it is free

RecordedStatus = Literal["running", EndStatus]


class RunRecord(BaseModel):
    """What `run.json` says. `status` is also `running` after the coordinator was killed; see `RunDirectory.holder`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str
    pipeline: str
    signature: str
    status: RecordedStatus = "running"
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    updated: datetime = Field(default_factory=lambda: datetime.now(UTC))
    broker: str | None = Field(default=None, description="URL without password; None for the embedded broker.")
    home: Path | None = Field(
        default=None, description="The run directory that this was written in; a copy still names it."
    )
    dataset: Path | None = Field(default=None, description="Where the complete dataset is.")
    rows: dict[str, int] = Field(default_factory=dict, description="Rows per leaf.")
    payloads: list[str] = Field(default_factory=list, description="Folders of `--payloads` that may hold its files.")
    reason: str = Field(default="", description="Why it ended before it was complete.")
    failed_rows: int = 0
    failed: dict[str, int] = Field(default_factory=dict, description="Failed rows per step.")
    skipped: dict[str, int] = Field(default_factory=dict, description="Rows per step that passed it by.")
    done: dict[str, int] = Field(default_factory=dict, description="Rows that each step has produced.")
    endpoints: dict[str, list[str]] = Field(
        default_factory=dict, description="Where the models of each step were served, latest place last."
    )
    bill: Bill = Field(default_factory=Bill, description="What its calls of models took and cost.")
    identity: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="What the signature was computed from, see `common.building.signature.Identity.digests`.",
    )

    @field_validator("broker")
    @classmethod
    def _without_password(cls, url: str | None) -> str | None:
        return None if url is None else redact(url)


class RunDirectory:
    """One run's directory. Reading needs no lock; a writer holds it until `release` or until the process ends.

    Example:
        >>> directory = RunDirectory.of(cache_directory(), "quickstart", signature)
        >>> with directory:
        ...     directory.write(RunRecord(run="r1", pipeline="quickstart", signature=signature))
        ...     directory.update(status="complete", rows={"keep": 2000})
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts = path / "parts"
        self.broker = path / "broker"
        self.payloads = path / "payloads"
        self.artifacts = path / ARTIFACTS
        self.log = path / "pipeline.log"
        self.failures = path / "failures.jsonl"
        self._lock: int | None = None

    @classmethod
    def of(cls, cache: Path, pipeline: str, signature: str) -> RunDirectory:
        """`<cache>/<pipeline>/<signature[:12]>`; a name that is not a valid file name is percent-encoded."""
        folder = quote(pipeline, safe=" ")
        return cls(
            cache / (folder.replace(".", "%2E") if folder.startswith(".") else folder) / signature[:SIGNATURE_LENGTH]
        )

    def acquire(self, patience: float = LOCK_PATIENCE) -> None:
        """Creates the directory, closes it to other users, and locks it for as long as this process lives.

        Args:
            patience: seconds to wait for a lock that another process has.

        Raises:
            Fenced: another process has the lock.
            RunError: the directory cannot be created, written or locked.
        """
        if self._lock is not None:
            return
        try:
            sweep(self.path.parent)
            deadline = time.monotonic() + patience
            while self._lock is None:
                try:
                    for folder in (self.path, self.parts, self.broker, self.payloads):
                        make_private(folder)
                    self._lock = take_lock(self.path / LOCK)
                except (BlockingIOError, FileNotFoundError):  # it is held, or was removed just now
                    if time.monotonic() >= deadline:
                        raise
                    time.sleep(0.02)
            sweep(self.path)
        except BlockingIOError:
            raise Fenced(
                f"run directory {self.path} is in use by {self.holder() or Holder(None, '')}; wait until it ends, or "
                f"stop it with: pipeline-coordinator stop {shlex.quote(str(self.path))}"
            ) from None
        except OSError as error:
            raise RunError(
                f"run directory {self.path} cannot be used: {error}; choose another with --cache-dir"
            ) from error

    def release(self) -> None:
        """Releases the lock; does nothing without it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def take_away(self, holder: Holder) -> bool:
        """Takes the lock from a process that is frozen and can no longer write to its run.

        Args:
            holder: that process, as `holder` names it.

        Returns:
            Whether this process has the lock now, or another one was faster.
        """
        with (self.path / f".{LOCK}.away").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if (now := self.holder()) is None or not now.has_name_of(holder):
                return False
            (self.path / LOCK).unlink()
            self.acquire()
        return True

    def check_lock(self) -> None:
        """Raises Fenced if the lock was taken away from this process."""
        if self._lock is not None and not is_still_at(self._lock, self.path / LOCK):
            raise Fenced(f"another coordinator has taken over {self.path}; this one has stopped, and nothing was lost")

    def holder(self) -> Holder | None:
        """Who has the lock; None if no one has."""
        if self._lock is not None:
            return this_process()
        try:
            with (self.path / LOCK).open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return holder_of_lock(self.path / LOCK)
        except OSError:
            return None
        return None

    def is_of(self, lease: Holder) -> bool:
        """Whether the holder of a lease had this very directory, and not another one at the same path."""
        here = holder_of(self)
        known = here.inode if lease.inode is None else lease.inode  # earlier versions did not record it
        return (lease.host, lease.directory, known) == (here.host, here.directory, here.inode)

    def read(self) -> RunRecord | None:
        """The record of the run; None if there is none yet.

        Raises:
            RunError: `run.json` exists and is not a record.
        """
        return self._read(RECORD)

    def _read(self, name: str, *, may_be_blank: bool = False) -> RunRecord | None:
        try:
            data = (self.path / name).read_bytes()
            return None if may_be_blank and not data.strip(b"\0 \n") else RunRecord.model_validate_json(data)
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise RunError(f"{self.path / name} cannot be read: {reason}; to start over, remove {self.path}") from None

    def write(self, record: RunRecord) -> RunRecord:
        """Writes `record`, with the current time as `updated`; after a crash, it is there whole or not at all."""
        assert self._lock is not None, "only the holder of the lock writes"
        self.check_lock()
        (self.path / CONDEMNED).unlink(missing_ok=True)  # first: a run that begins now must not be removed
        record = record.model_copy(update={"updated": datetime.now(UTC), "home": self.path.resolve()})
        replace_file(self.path / RECORD, record.model_dump_json(indent=2).encode() + b"\n")
        return record

    def original_of(self, record: RunRecord) -> Path | None:
        """The run directory that this one is a copy of, while that one exists; None if this one was only moved.

        What the run has elsewhere, in a broker and in payload folders, belongs to the original.

        Args:
            record: the record in this directory.
        """
        home = record.home
        if home is None or home == self.path.resolve():
            return None
        with contextlib.suppress(RunError, OSError):
            there = RunDirectory(home).read()
            if there is not None and there.run == record.run and FileIdentity.at(home) != FileIdentity.at(self.path):
                return home
        return None

    def update(self, **changes: Any) -> RunRecord:
        """Changes some fields of the record.

        Raises:
            RunError: there is no record yet.
        """
        record = self.read()
        if record is None:
            raise RunError(f"{self.path} has no {RECORD}")
        return self.write(RunRecord.model_validate({**record.model_dump(), **changes}))

    @property
    def is_condemned(self) -> bool:
        """Whether a removal of the run, or a fresh start, was begun and has not been finished."""
        return (self.path / CONDEMNED).exists()

    def read_condemned(self) -> RunRecord | None:
        """The record of a run that is being removed; None also if it is unreadable, as after a crash."""
        return self._read(CONDEMNED, may_be_blank=True)

    def condemn(self) -> None:
        """From here on, the run is gone; what is deleted later only frees space on disk.

        A rename, which works even on a full disk.
        """
        assert self._lock is not None, "only the holder of the lock writes"
        with contextlib.suppress(FileNotFoundError):
            (self.path / RECORD).replace(self.path / CONDEMNED)
            sync_folder(self.path)

    def clear(self) -> None:
        """Discards what was done, under the lock: everything goes but the lock itself.

        The run is condemned until a new one is recorded, so a crash in between leaves no half of it to resume.
        """
        self.condemn()
        for path in self.path.iterdir():
            if path.name not in (LOCK, CONDEMNED):
                discard(path)
        for folder in (self.parts, self.broker, self.payloads):
            make_private(folder)

    def check_removable(self) -> None:
        """Raises RunError for a directory that can be removed only in part, or not at all."""
        home = self.path.parent
        why = ""
        if self.path.is_symlink():
            why = f"it is a link to {self.path.resolve()}, and links are not followed"
        elif not os.access(home, os.W_OK | os.X_OK):
            why = f"this user may not write to {home}"
        if why:
            raise RunError(f"{self.path} cannot be removed: {why}; nothing was removed")

    def remove(self) -> None:
        """Deletes the directory with everything in it, and the folder of its pipeline if it was the last one there.

        Raises:
            UsageError: it is not a run directory.
            Fenced: another process is using it.
            RunError: it cannot be removed, and is unchanged.
            OSError: some of it cannot be deleted; the run is gone nevertheless.
        """
        if not any((self.path / name).exists() for name in (RECORD, CONDEMNED, LOCK)):
            raise UsageError(f"{self.path} is not a run directory: it has no {RECORD}")
        self.check_removable()
        self.acquire()
        try:
            self.condemn()
            discard(self.path)
        finally:
            self.release()
        with contextlib.suppress(OSError):  # not the last one there
            self.path.parent.rmdir()

    def __enter__(self) -> RunDirectory:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder_of(directory: RunDirectory | None) -> Holder:
    """How this process identifies itself when it takes the lease of a run; includes a random token."""
    holder = replace(this_process(), token=secrets.token_hex(8))
    if directory is None:
        return holder
    identity = FileIdentity.seen_at(directory.path)
    inode = identity.inode if identity is not None else None
    return replace(holder, directory=str(directory.path.resolve()), inode=inode)
