"""Finds the run that a command is about, its broker, and its coordinator."""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from common.broker.connection import Connection
from common.broker.runs import RunRegistry
from common.cache import cache_directory
from common.errors import Disconnected, RunError, UsageError
from common.process.file_identity import FileIdentity
from common.protocol.holder import Holder
from common.words.shown_url import HIDDEN, redact
from coordinator.local.embedded import leftover, ping
from coordinator.local.socket_folder import SocketFolder
from coordinator.runs.newest_run import Choice, newest_run
from coordinator.runs.run_directory import LOCK, RECORD, RunDirectory, RunRecord
from coordinator.runs.run_list import condemned_runs, list_runs

REPLY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run known to this host or to a broker.

    Args:
        directory, record: None if the run directory is on another host.
        condemned: its removal was started and interrupted.
        by_path: it was given as the path of its directory.
    """

    run_id: str
    directory: RunDirectory | None = None
    record: RunRecord | None = None
    condemned: bool = False
    by_path: bool = False

    @property
    def argument(self) -> str:
        """What a user types to name it in other commands."""
        return shlex.quote(str(self.directory.path)) if self.by_path and self.directory is not None else self.run_id


def find_run(
    run: str,
    cache_dir: Path | None,
    broker: str | None,
    *,
    condemned: bool = False,
    tell: Callable[[str], None] | None = None,
) -> FoundRun:
    """The run with the id `run`, or the only one whose id begins with it, in run directories and at the broker.

    Args:
        run: or the path of a run directory, which contains a `/`.
        condemned: also find a run whose removal was interrupted.
        tell: for a command that changes nothing: `run` may also be the name of a pipeline. If it has several runs, the
            one in progress is found, else the newest one, and `tell` is told which one and which others there are.

    Raises:
        UsageError: there is none, or several, or one with several run directories.
        RunError: the record at the path cannot be read.
    """
    if not run:
        raise UsageError("RUN is empty: name a run")
    if os.sep in run:
        return _run_at(Path(os.path.abspath(run)), condemned)
    cache = cache_directory(cache_dir)
    listed = list_runs(cache)
    here = [FoundRun(record.run, directory, record) for directory, record in listed]
    if condemned:
        here += [FoundRun(record.run, directory, record, True) for directory, record in condemned_runs(cache)]
    known: dict[str, list[FoundRun]] = {}
    for each in here:
        known.setdefault(each.run_id, []).append(each)
    if run in known:
        return _only(known[run])
    if broker:
        try:
            with connect(broker) as connection:
                for run_id in RunRegistry(connection).run_ids():
                    known.setdefault(run_id, [FoundRun(run_id)])
        except Disconnected:
            if not any(run_id.startswith(run) for run_id in known):
                raise
    if tell is not None and run not in known and (choice := _choice(run, listed, broker)):
        tell(f"'{run}' has {1 + len(choice.others)} runs; {choice}")
        return _only(known[choice.run_id])
    found = [run] if run in known else sorted(run_id for run_id in known if run_id.startswith(run))
    if len(found) == 1:
        return _only(known[found[0]])
    if found:
        raise UsageError(f"'{run}' matches {', '.join(found)}; give more of the id")
    there = f"the runs there are {', '.join(list(known)[:5])}" if known else "there are no runs"
    raise UsageError(
        f"no run '{run}' in {cache}{' or at the broker' if broker else ''}; {there} (to list runs: "
        f"pipeline-coordinator runs; to look elsewhere: --cache-dir{'' if broker else ' or --broker'})"
    )


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """A connection that is closed at the end of the block."""
    with closing(Connection(url, REPLY_SECONDS)) as connection:
        yield connection


@contextmanager
def broker_of(found: FoundRun, broker: str | None) -> Iterator[Connection | None]:
    """The broker of a run; None if it is an embedded one that is not running.

    Args:
        broker: as given by the command line or the environment.

    Raises:
        UsageError: it must be given.
        Disconnected: it cannot be reached.
    """
    url = _url_of(found, broker)
    if url is None:
        yield None
        return
    with connect(url) as connection:
        connection.facts()
        yield connection


def embedded_url(directory: RunDirectory) -> str | None:
    """The URL of the embedded broker now running on the data of a run directory; None if there is none."""
    folder = SocketFolder.of(directory.broker)
    if folder is None or leftover(directory.broker) is None:
        return None
    return folder.url if ping(folder.socket) else None


def coordinator_of(found: FoundRun, lease: Holder | None) -> Holder | None:
    """Who coordinates the run now; None if no one does.

    Args:
        lease: who has the coordinator's lease, according to its broker.
    """
    if found.directory is not None and (holder := found.directory.holder()):
        return holder
    return None if lease is None or is_outlived(found, lease) else lease


def is_outlived(found: FoundRun, lease: Holder) -> bool:
    """Whether a lease is a leftover that has not expired: a live holder would have the lock of the run directory."""
    return found.directory is not None and found.directory.is_of(lease)


def local_coordinator(directory: RunDirectory) -> int | None:
    """Pid of the process on this host that holds the lock of a run directory.

    It is the process that has the lock file open, not one that has since reused its pid.
    """
    holder = directory.holder()
    if holder is None or holder.pid is None or holder.host != socket.gethostname():
        return None
    pid = holder.pid
    lock = FileIdentity.seen_at(directory.path / LOCK)
    try:
        opened = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None
    return pid if lock is not None and any(FileIdentity.seen_at(file) == lock for file in opened) else None


def _choice(pipeline: str, here: Sequence[tuple[RunDirectory, RunRecord]], broker: str | None) -> Choice | None:
    if broker:
        with suppress(Disconnected), connect(broker) as connection:
            return newest_run(pipeline, here, RunRegistry(connection))
    return newest_run(pipeline, here, None)


def _run_at(path: Path, condemned: bool) -> FoundRun:
    directory = RunDirectory(path)
    if path.is_dir() and (record := directory.read()) is not None:
        return FoundRun(record.run, directory, record, by_path=True)
    if path.is_dir() and (record := directory.read_condemned()) is not None:
        if condemned:
            return FoundRun(record.run, directory, record, True, by_path=True)
        raise UsageError(
            f"the removal of run '{record.run}' in {path} was interrupted; to finish it: pipeline-coordinator rm "
            f"{shlex.quote(str(path))}"
        )
    if directory.is_condemned:
        raise UsageError(
            f"the removal of the run in {path} was interrupted, and its record is lost: delete the folder; to delete "
            "keys of it that may remain in a broker: pipeline-coordinator rm ID --broker URL"
        )
    raise UsageError(
        f"{path} is not a run directory: it has no {RECORD} (RUN is the id of a run, or the path of its run directory)"
    )


def _only(found: Sequence[FoundRun]) -> FoundRun:
    """Raises UsageError if a run has several directories, since it is unclear which of them is meant."""
    if len(found) == 1:
        return found[0]
    paths = sorted(str(each.directory.path) + _copied(each) for each in found if each.directory is not None)
    raise UsageError(
        f"run '{found[0].run_id}' has {len(found)} run directories: {', '.join(paths)}; give the path of one of them "
        "instead of the id"
    )


def _copied(found: FoundRun) -> str:
    if found.directory is None or found.record is None:
        return ""
    original = found.directory.original_of(found.record)
    return "" if original is None else f" (a copy of {original})"


def _url_of(found: FoundRun, broker: str | None) -> str | None:
    if found.directory is None or found.record is None:
        return broker
    recorded = found.record.broker
    if recorded is None:
        return embedded_url(found.directory)
    # The given broker may be meant for other runs (the environment), or be the same one under another name.
    if broker is not None and (redact(broker) == recorded or _knows(broker, found.run_id)):
        return broker
    if HIDDEN in recorded:
        raise UsageError(
            f"run '{found.run_id}' is at {recorded}, and passwords are not stored: pass --broker URL, or set "
            "PENSTOCK_BROKER_URL"
        )
    return recorded


def _knows(url: str, run_id: str) -> bool:
    try:
        with connect(url) as connection:
            return run_id in RunRegistry(connection).run_ids()
    except RunError:
        return False
