"""Removes runs: the directory and the keys in the broker together, since each is of no use without the other."""

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
"""How long a payload store that cannot be reached is waited for."""
REMOVAL_SECONDS = 30.0
"""How long coordinators wait for the removal of keys that does not come to its end."""


class Overtaken(Fenced):
    """The run is not any more what it was when it was chosen: another process was quicker."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed of a run, beside its directory.

    Args:
        keys: in the broker; None where no broker had to be asked.
        folders: of payloads, outside the run directory.
        original: the run directory of which this one was a copy, and to which all that is elsewhere belongs.
        is_taken_over: another pipeline has the id at the broker, and what is there stays.
    """

    keys: int | None = None
    folders: tuple[str, ...] = ()
    original: Path | None = None
    is_taken_over: bool = False


def remove_run(
    found: FoundRun, broker: str | None, is_wanted: Callable[[RunRecord], bool] = lambda record: True
) -> Removed:
    """Removes a run for good: its keys in the broker, its folders of payloads, its directory.

    Args:
        is_wanted: whether a run with this record is to be removed; is asked again once nobody else can change it.

    Of a copy of a run directory that is there as well, only the copy itself is removed.

    Whoever dies in it, or fails, leaves a run that is whole, or one that is gone: nobody lists it or goes on with it,
    and the next `rm` of it, `gc` or `run` finishes the removal.

    Raises:
        Overtaken: it was begun anew, gone on with or removed since `found` was read; nothing was removed.
        Fenced: a coordinator is alive.
        Disconnected, UsageError: its broker cannot be asked, and may hold keys of it; nothing was removed.
        StoreError: its folder of payloads cannot be reached, and nothing was removed; or it cannot be deleted.
        RunError: its directory cannot be removed, and nothing was; or some of it cannot be deleted, all else was.
    """
    with ExitStack() as stack:
        if (directory := found.directory) is not None:
            directory.check_removable()
            stack.enter_context(directory)  # the lock: from here on nobody else coordinates it on this host
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
                raise type(error)(f"{error}; its keys there would be left over, so nothing was removed") from None
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
    """Runs of a broker that nobody coordinates and whose journal was not touched for `older_than` seconds.

    Args:
        unfinished: those that are not complete as well.
        here: runs that have a directory on this host; they are left to whoever looks after that.
        complain: told of runs that are passed over since their keys cannot be read, and why.
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
                continue  # of another version, which has to judge it
            else:
                if is_old:
                    yield FoundRun(run_id)


def _is_old(connection: Connection, run_id: str, older_than: float, unfinished: bool) -> bool:
    registry = RunRegistry(connection)
    # The broker notes when a key was last read or written; only coordinators and workers touch the journal.
    idle = connection.batch([("OBJECT", "IDLETIME", Keys(run_id).journal)])[0]
    record = registry.read(run_id)
    if record is None:
        if isinstance(idle, int):  # its removal was cut off, or it is just beginning
            return registry.lease_holder(run_id) is None
        registry.forget(run_id)
        return False
    if record.status != "complete" and not unfinished:
        return False
    return isinstance(idle, int) and idle >= older_than and registry.lease_holder(run_id) is None


def disk_size(folder: Path) -> int:
    """Bytes that removing a folder frees: a file that has another name elsewhere is not counted."""
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
    """The run with what its directory says under the lock. Raises Overtaken where that is another run by now."""
    directory, chosen = found.directory, found.record
    assert directory is not None
    assert chosen is not None
    run = f"run '{found.run_id}' in {directory.path}"
    record = directory.read()
    if record is None:
        if directory.is_condemned:
            return replace(found, record=directory.read_condemned() or chosen, condemned=True)
        directory.remove()  # which the lock has made anew
        raise Overtaken(f"{run} was removed meanwhile by another process")
    if found.condemned or (record.run, record.created) != (chosen.run, chosen.created):
        raise Overtaken(f"{run} was begun anew meanwhile; the new one is left alone")
    if not is_wanted(record):
        raise Overtaken(f"{run} was gone on with meanwhile")
    return replace(found, record=record)


def at_broker(found: FoundRun, registry: RunRegistry) -> BrokerRecord | None:
    """What the broker says of a run; None where it says nothing that this version understands."""
    try:
        return registry.read(found.run_id)
    except BrokerError:
        raise
    except RunError:
        return None  # of another version, or nothing that any version writes


def is_anothers(found: FoundRun, known: BrokerRecord | None) -> bool:
    """Has another pipeline taken the id of a run over at the broker, by `--fresh`? Then nothing there is of the run."""
    return found.record is not None and known is not None and known.signature not in ("", found.record.signature)


def _folders_of(known: BrokerRecord | None) -> list[str]:
    """Folders of payloads that a run has told its workers of, as far as they are not in a run directory."""
    if known is None:
        return []
    return [url for url in known.options.payloads if url.rstrip("/").endswith(f"/{known.run_id}")]


def _condemn(found: FoundRun, folders: Sequence[str]) -> None:
    """The point from which on the run is gone. What it has elsewhere is looked for before."""
    for url in folders:
        try:
            FileStore(url, patience=STORE_SECONDS).names()
        except StoreError as error:
            raise type(error)(f"{error}; payloads of the run would be left over, so nothing was removed") from None
    if found.directory is not None:
        found.directory.condemn()


def _remove_folders(folders: Sequence[str]) -> None:
    for url in folders:
        try:
            FileStore(url, patience=STORE_SECONDS).remove()
        except StoreError as error:
            raise type(error)(f"{error}; the run is gone, and the same command deletes what is left of it") from None


def _remove_directory(found: FoundRun) -> None:
    assert found.directory is not None
    end_leftover(found.directory.broker)
    try:
        found.directory.remove()
    except OSError as error:
        raise RunError(
            f"{found.directory.path} cannot be removed: {error}; the run is gone, with its keys in the broker and its "
            "payloads: delete what is left of it as a user who may"
        ) from error


def refuse_alive(found: FoundRun, registry: RunRegistry) -> None:
    """Raises Fenced where a coordinator of the run is alive, as far as its broker knows."""
    try:
        lease = registry.lease_holder(found.run_id)
    except ForeignData:
        return  # nobody can have it
    if lease is not None and not is_outlived(found, lease):
        raise Fenced(lease.has_run(found.run_id, found.argument))


def delete_keys(found: FoundRun, registry: RunRegistry) -> int:
    """Deletes a run at its broker, whose coordinators wait meanwhile. Returns how many keys of it there were.

    Raises:
        Fenced: one is alive.
    """
    remover = holder_of(found.directory)
    gone, token = 0, ""
    with suppress(ForeignData):  # nobody can coordinate what holds something else
        lease = registry.lease_holder(found.run_id)
        dead = lease.token if lease is not None and is_outlived(found, lease) else ""
        gone = registry.condemn(found.run_id, remover, REMOVAL_SECONDS, dead) - (0 if lease else 1)
        token = remover.token
    return gone + registry.delete(found.run_id, token, REMOVAL_SECONDS)


def _has_expired(found: FoundRun) -> bool:
    """Have the keys of a complete run been dropped by the broker itself by now?"""
    if found.record is None or found.record.status != "complete":
        return False
    age = (datetime.now(UTC) - found.record.updated).total_seconds()
    return age > Settings.from_environment().keep_finished


def delete_run(broker: str, run_id: str) -> None:
    """Removes what a dry run has put into a broker."""
    connection = Connection(broker)
    with suppress(RunError):
        RunRegistry(connection).delete(run_id)
    connection.close()
