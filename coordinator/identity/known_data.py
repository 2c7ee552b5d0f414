"""Whether data files are those of a known run: a file may have a new time and still hold the same data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from common.broker.connection import Connection
from common.broker.digests import read_digests
from common.broker.runs import RunRecord as BrokerRecord
from common.building.data_files import whole_digest
from common.errors import RunError, UsageError
from common.payloads.durable import replace_file
from common.protocol.keys import Keys
from common.steps.loading.file_loader import FileLoader
from common.steps.loading.file_states import DataFiles, FileState
from coordinator.plan.load import Prepared
from coordinator.runs.run_directory import RunDirectory
from coordinator.runs.run_list import folders_of_runs
from coordinator.view.view import Reporter

DATA = "data.json"


class DataRecord(BaseModel):
    """What a run directory records about the data of its run.

    Args:
        content: the signature that the run would have from what is known about data before it is read in full.
        signature: its actual signature.
        files: by step, or by step and parameter; see `data_files`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    content: str
    signature: str
    files: dict[str, DataFiles]

    @classmethod
    def all(cls, folder: Path) -> Iterator[DataRecord]:
        """The records of all runs of a pipeline. Unreadable ones are ignored."""
        return (record for path in folders_of_runs(folder) if (record := cls.read(path)) is not None)

    @classmethod
    def read(cls, directory: Path) -> DataRecord | None:
        """The record of one run; None if there is none, or if it is unreadable."""
        try:
            return cls.model_validate_json((directory / DATA).read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, directory: Path) -> None:
        """Replaces the record; after a crash, the new or the old one is there, whole. None without data files.

        Keeps the digests of the same files from the old record: another process may have noted them meanwhile.
        """
        if not self.files:
            return
        known = self._knowing(self.read(directory))
        replace_file(directory / DATA, known.model_dump_json(indent=1).encode() + b"\n")

    @property
    def of_parameters(self) -> dict[str, str]:
        """For workers: the files that parameters name, as text; loaders get theirs from `snapshot`."""
        return {name: files.encode() for name, files in self.files.items() if "." in name}

    def _knowing(self, other: DataRecord | None) -> DataRecord:
        known = {
            replace(state, whole=""): state.whole
            for files in (other.files if other else {}).values()
            for state in files.files
        }
        told = {
            step: [state.whole or known.get(state, "") for state in files.files] for step, files in self.files.items()
        }
        return self.with_digests(told)

    def with_digests(self, digests: Mapping[str, Sequence[str]]) -> DataRecord:
        """Adds these digests, by step; those of another number of files are ignored."""
        fitting = {
            step: files.with_digests(digests[step])
            for step, files in self.files.items()
            if len(digests.get(step, ())) == len(files.files)
        }
        return self.model_copy(update={"files": {**self.files, **fitting}})


class Recognition:
    """Finds the run that has exactly these data.

    Args:
        known: the records of runs of this pipeline with the same content and the same number of files.
        content: the signature of the pipeline with `data`.
        data: the files as they are now.
        digest: returns the digest of all bytes of the file at a path.

    Attributes:
        said: messages for people about files that were written to, whether or not their content changed.
    """

    def __init__(
        self,
        known: Sequence[DataRecord],
        content: str,
        data: Mapping[str, DataFiles],
        digest: Callable[[str], str],
    ) -> None:
        self._known = known
        self._content = content
        self._data = data
        self._digest_of = digest
        self._digests: dict[str, str] = {}
        self.said: list[str] = []

    @classmethod
    def read(
        cls, folder: Path, content: str, data: Mapping[str, DataFiles], digest: Callable[[str], str]
    ) -> Recognition:
        """Reads the records in `folder`, which holds the run directories of the pipeline."""
        known = [record for record in DataRecord.all(folder) if record.content == content] if data else []
        known = [record for record in known if _counts(record.files) == _counts(data)]
        return cls(known, content, data, digest)

    def record(self) -> DataRecord:
        """What the run directory will record: the record of a known run, if there is one.

        A file is read in full only if everything but its time matches a known run, and that run knows its full digest.
        If that run does not know it, the file counts as a different one.
        """
        for record in self._known:
            if not any(self._written(record)):
                return self._with_signature(record.signature, record)
        for record in self._known:
            if self._holds_the_same(record):
                self._say(record, "its content is unchanged")
                return self._with_signature(record.signature, record)
        if not self._known:
            return self._with_signature(self._content)
        latest = self._known[-1]
        self._say(latest, f"it is treated as a different file from that of run {latest.signature[:12]}")
        return self._with_signature(self._signature())

    def _pairs(self, record: DataRecord) -> Iterator[tuple[FileState, FileState]]:
        for name, files in self._data.items():
            yield from zip(record.files[name].files, files.files, strict=True)

    def _written(self, record: DataRecord) -> Iterator[tuple[FileState, FileState]]:
        """Files that were touched since, as they were and as they are."""
        return ((old, new) for old, new in self._pairs(record) if old.stamp != new.stamp)

    def _holds_the_same(self, record: DataRecord) -> bool:
        written = list(self._written(record))
        return all(old.whole for old, _ in written) and all(self._digest(new) == old.whole for old, new in written)

    def _digest(self, state: FileState) -> str:
        if state.path not in self._digests:
            self._digests[state.path] = state.whole or self._digest_of(state.path)
        return self._digests[state.path]

    def _say(self, record: DataRecord, conclusion: str) -> None:
        for old, new in self._written(record):
            why = "" if old.whole else ", and it had never been read in full before"
            self.said.append(f"{new.path}: {old.difference(new) or 'it was changed'}{why}; {conclusion}")

    def _with_signature(self, signature: str, known: DataRecord | None = None) -> DataRecord:
        """Keeps the digests of files that were not touched."""
        digests = {old.path: old.whole for old, new in self._pairs(known) if old.stamp == new.stamp} if known else {}
        digests |= self._digests
        files = {
            name: some.with_digests(digests.get(state.path, "") for state in some.files)
            for name, some in self._data.items()
        }
        return DataRecord(content=self._content, signature=signature, files=files)

    def _signature(self) -> str:
        """Digests of files that size, head and tail cannot tell from those of another run."""
        told = {
            name: [self._digests.get(state.path) or state.whole or state.stamp for state in some.files]
            for name, some in self._data.items()
        }
        text = json.dumps([self._content, told], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=len(self._content) // 2).hexdigest()


def recognise(
    cache: Path, content: str, prepared: Prepared, data: Mapping[str, DataFiles], reporter: Reporter
) -> DataRecord:
    """Which run it is, given the data of its steps; reports files that have been written to. See `Recognition`."""
    folder = RunDirectory.of(cache, prepared.spec.name, content).path.parent
    recognition = Recognition.read(folder, content, data, lambda path: whole_digest(prepared.steps, path))
    record = recognition.record()
    for line in recognition.said:
        reporter.say(line)
    for name, step in prepared.steps.items():
        if isinstance(step, FileLoader) and name in record.files:
            step.pin(record.files[name].encode())
    return record


def keep_digests(record: DataRecord, connection: Connection, keys: Keys, directory: Path) -> None:
    """Keeps what workers noted while reading; the next command needs it only if a file was touched."""
    with suppress(RunError, OSError):
        record.with_digests(read_digests(connection, keys, record.files)).write(directory)


def check_data_at_broker(known: BrokerRecord, now: DataRecord) -> None:
    """A run begun on another host can be resumed here only with the data that it began with.

    Raises:
        UsageError: a file is, or may be, a different one; names it.
    """
    for name, snapshot in known.options.fingerprints.items():
        if name not in now.files:
            continue
        for old, new in zip(DataFiles.decode(snapshot).files, now.files[name].files, strict=False):
            same = old.whole == new.whole if old.whole and new.whole else old.time == new.time
            if old.content != new.content or not same:
                raise UsageError(
                    f"run '{known.run_id}' seems to have begun with another file than {new.path}: "
                    f"{old.difference(new, here=False) or 'its content differs'}; put the original file here, with "
                    "its modification time, or start over with --fresh"
                )


def _counts(data: Mapping[str, DataFiles]) -> dict[str, int]:
    return {name: len(files.files) for name, files in data.items()}
