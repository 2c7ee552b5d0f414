"""Removes runs: the directory and the broker keys together, since neither is of use without the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from common.broker.connection import Connection
from common.broker.runs import RunRecord as BrokerRecord
from common.broker.runs import RunRegistry
from common.errors import BrokerError, Disconnected, Fenced, ForeignData, RunError, StoreError, UsageError
from common.payloads.stores import FileStore
from common.process.file_identity import FileIdentity
from common.protocol.keys import Keys
from common.settings import Settings
from coordinator.local.embedded import end_leftover
from coordinator.runs.lookup import FoundRun, broker_of, connect, is_outlived
from coordinator.runs.run_directory import RunRecord, holder_of

STORE_SECONDS = 10.0
"""How long to wait for an unreachable payload store."""
REMOVAL_SECONDS = 30.0
"""How long coordinators wait for a removal of keys that does not finish."""


class Overtaken(Fenced):
    """The run is no longer what it was when it was chosen: another process got there first."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed of a run, besides its directory.

    Args:
        keys: in the broker; None if no broker had to be asked.
        folders: payload folders outside the run directory.
        original: the run directory that this one was a copy of, and that owns everything elsewhere.
        is_taken_over: another pipeline has the id at the broker, and what is there is kept.
    """

    keys: int | None = None
    folders: tuple[str, ...] = ()
    original: Path | None = None
    is_taken_over: bool = False


def remove_run(
    found: FoundRun, broker: str | None, is_wanted: Callable[[RunRecord], bool] = lambda record: True
) -> Removed:
    """Removes a run for good: its broker keys, its payload folders and its directory.

    Args:
        is_wanted: whether to remove a run with this record; asked again once no one else can change it.

    If the directory is a copy and its original still exists, only the copy itself is removed.

    A crash or an error leaves the run either whole or gone: a run that is gone is neither listed nor resumed, and the
    next `rm` of it, `gc` or `run` finishes the removal.

    Raises:
        Overtaken: it was started over, resumed or removed since `found` was read; nothing was removed.
        Fenced: a coordinator is alive.
        Disconnected, UsageError: its broker cannot be asked and may hold its keys; nothing was removed.
        StoreError: its payload folder cannot be reached, and nothing was removed; or it cannot be deleted.
        RunError: its directory cannot be removed, and nothing was; or some of it cannot be deleted, and all else was.
    """
    with ExitStack() as stack:
        if (directory := found.directory) is not None:
            directory.check_removable()
            stack.enter_context(directory)  # the lock: from here on, no one else coordinates it on this host
            found = _as_it_is_now(found, is_wanted)
            if found.record is not None and (original := directory.original_of(found.record)):
                _remove_directory(found)
                return Removed(original=original)
        folders = list(found.record.payloads) if found.record is not None else []
        registry: RunRegistry | None = None
        is_taken_over = False
        try:
            if connection := stack.enter_context(broker_of(found, broker)):
                registry = RunRegistry(connection)
                known = at_broker(found, registry)
                if is_taken_over := is_anothers(found, known):
                    folders = [url for url in folders if url not in _folders_of(known)]
                    registry = None
                else:
                    refuse_alive(found, registry)
                    folders += _folders_of(known) if found.record is None else []
        except (Disconnected, UsageError) as error:
            if not _has_expired(found):
                raise type(error)(f"{error}; its keys there would remain, so nothing was removed") from None
            registry = None
        _condemn(found, folders)
        _remove_folders(folders)
        keys = delete_keys(found, registry) if registry is not None else None
        if found.directory is not None:
            _remove_directory(found)
        return Removed(keys, tuple(folders), is_taken_over=is_taken_over)


def old_at_broker(
    url: str,
    older_than: float,
    *,
    unfinished: bool,
    here: Collection[str],
    complain: Callable[[str, str], None] = lambda run_id, why: None,
) -> Iterator[FoundRun]:
    """Runs at a broker without a coordinator whose journal has not been touched for `older_than` seconds.

    Args:
        unfinished: also those that are not complete.
        here: runs that have a directory on this host; they are not included.
        complain: told about runs that are skipped because their keys cannot be read, and why.
    """
    with connect(url) as connection:
        registry = RunRegistry(connection)
        for run_id in registry.run_ids():
            if run_id in here:
                continue
            try:
                is_old = _is_old(connection, run_id, older_than, unfinished)
            except ForeignData as error:
                remedy = f"remove it with: pipeline-coordinator rm {run_id}"
                complain(run_id, f"{error.answer}; something other than Penstock has written there: {remedy}")
            except BrokerError:
                raise
            except RunError:
                continue  # left to the other version that made it
            else:
                if is_old:
                    yield FoundRun(run_id)


def _is_old(connection: Connection, run_id: str, older_than: float, unfinished: bool) -> bool:
    registry = RunRegistry(connection)
    # The broker notes when a key was last read or written; only coordinators and workers touch the journal.
    idle = connection.batch([("OBJECT", "IDLETIME", Keys(run_id).journal)])[0]
    record = registry.read(run_id)
    if record is None:
        if isinstance(idle, int):  # its removal was interrupted, or it is just beginning
            return registry.lease_holder(run_id) is None
        registry.forget(run_id)
        return False
    if record.status != "complete" and not unfinished:
        return False
    return isinstance(idle, int) and idle >= older_than and registry.lease_holder(run_id) is None


def disk_size(folder: Path) -> int:
    """Bytes freed by removing a folder: a file that has another name elsewhere is not counted."""
    names: dict[FileIdentity, list[int]] = {}
    for path, _, files in os.walk(folder):
        for file in files:
            try:
                stat = os.lstat(os.path.join(path, file))
            except OSError:
                continue
            names.setdefault(FileIdentity.told_by(stat), [stat.st_size, stat.st_nlink, 0])[2] += 1
    return sum(size for size, links, found in names.values() if found >= links)


def _as_it_is_now(found: FoundRun, is_wanted: Callable[[RunRecord], bool]) -> FoundRun:
    """The run with what its directory says under the lock. Raises Overtaken if that is another run by now."""
    directory, chosen = found.directory, found.record
    assert directory is not None
    assert chosen is not None
    run = f"run '{found.run_id}' in {directory.path}"
    record = directory.read()
    if record is None:
        if directory.is_condemned:
            return replace(found, record=directory.read_condemned() or chosen, condemned=True)
        directory.remove()  # which taking the lock has recreated
        raise Overtaken(f"{run} was removed meanwhile by another process")
    if found.condemned or (record.run, record.created) != (chosen.run, chosen.created):
        raise Overtaken(f"{run} was started over meanwhile; the new run was kept")
    if not is_wanted(record):
        raise Overtaken(f"{run} was resumed meanwhile")
    return replace(found, record=record)


def at_broker(found: FoundRun, registry: RunRegistry) -> BrokerRecord | None:
    """What the broker says about a run; None if it says nothing that this version understands."""
    try:
        return registry.read(found.run_id)
    except BrokerError:
        raise
    except RunError:
        return None  # from another version, or nothing that any version writes


def is_anothers(found: FoundRun, known: BrokerRecord | None) -> bool:
    """Whether another pipeline has taken over the id of a run at the broker, by `--fresh`, and owns what is there."""
    return found.record is not None and known is not None and known.signature not in ("", found.record.signature)


def _folders_of(known: BrokerRecord | None) -> list[str]:
    """The payload folders that a run has told its workers about, except those in a run directory."""
    if known is None:
        return []
    return [url for url in known.options.payloads if url.rstrip("/").endswith(f"/{known.run_id}")]


def _condemn(found: FoundRun, folders: Sequence[str]) -> None:
    """The point from which on the run is gone. What it has elsewhere is found before that."""
    for url in folders:
        try:
            FileStore(url, patience=STORE_SECONDS).names()
        except StoreError as error:
            raise type(error)(f"{error}; payloads of the run would remain, so nothing was removed") from None
    if found.directory is not None:
        found.directory.condemn()


def _remove_folders(folders: Sequence[str]) -> None:
    for url in folders:
        try:
            FileStore(url, patience=STORE_SECONDS).remove()
        except StoreError as error:
            raise type(error)(f"{error}; the run is gone; rerun the command to delete the rest") from None


def _remove_directory(found: FoundRun) -> None:
    assert found.directory is not None
    end_leftover(found.directory.broker)
    try:
        found.directory.remove()
    except OSError as error:
        raise RunError(
            f"{found.directory.path} cannot be removed: {error}; the run is gone, with its keys in the broker and its "
            "payloads: delete the rest of the directory as a user with permission to do so"
        ) from error


def refuse_alive(found: FoundRun, registry: RunRegistry) -> None:
    """Raises Fenced if a coordinator of the run is alive, as far as its broker knows."""
    try:
        lease = registry.lease_holder(found.run_id)
    except ForeignData:
        return  # no one can have it
    if lease is not None and not is_outlived(found, lease):
        raise Fenced(lease.has_run(found.run_id, found.argument))


def delete_keys(found: FoundRun, registry: RunRegistry) -> int:
    """Deletes a run at its broker; coordinators of the run wait meanwhile. Returns the number of its keys.

    Raises:
        Fenced: one is alive.
    """
    remover = holder_of(found.directory)
    gone, token = 0, ""
    with suppress(ForeignData):  # foreign data cannot be coordinated
        lease = registry.lease_holder(found.run_id)
        dead = lease.token if lease is not None and is_outlived(found, lease) else ""
        gone = registry.condemn(found.run_id, remover, REMOVAL_SECONDS, dead) - (0 if lease else 1)
        token = remover.token
    return gone + registry.delete(found.run_id, token, REMOVAL_SECONDS)


def _has_expired(found: FoundRun) -> bool:
    """Whether the broker itself has dropped the keys of a complete run by now."""
    if found.record is None or found.record.status != "complete":
        return False
    age = (datetime.now(UTC) - found.record.updated).total_seconds()
    return age > Settings.from_environment().keep_finished


def delete_run(broker: str, run_id: str) -> None:
    """Removes what a dry run put into a broker."""
    connection = Connection(broker)
    with suppress(RunError):
        RunRegistry(connection).delete(run_id)
    connection.close()
