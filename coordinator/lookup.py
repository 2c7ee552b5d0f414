"""Finds the run that a command is about, its broker, and whoever coordinates it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.broker.connection import Connection, Disconnected
from common.broker.runs import RunRegistry
from common.broker.shown_url import HIDDEN, redact
from common.cache import cache_directory
from common.errors import BrokerError, UsageError
from common.printable import one_line
from coordinator.embedded import leftover, ping
from coordinator.run_directory import LOCK, RunDirectory, RunRecord
from coordinator.run_list import condemned_runs, list_runs
from coordinator.socket_folder import SocketFolder

REPLY_SECONDS = 10.0
LONGEST_NAME = 300
HOLDER = re.compile(r"process (\d+) on (.+)")


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run that this host or a broker knows.

    Args:
        directory, record: None where the run directory is on another host.
        condemned: its removal was begun and cut off.
    """

    run_id: str
    directory: RunDirectory | None = None
    record: RunRecord | None = None
    condemned: bool = False


def find_run(run: str, cache_dir: Path | None, broker: str | None, *, condemned: bool = False) -> FoundRun:
    """The run with the id `run`, or whose id alone begins with it, in run directories and at the broker.

    Args:
        condemned: also one whose removal was cut off.

    Raises:
        UsageError: there is none, or several.
    """
    if not run:
        raise UsageError("say which run: RUN is empty")
    cache = cache_directory(cache_dir)
    here = [FoundRun(record.run, directory, record) for directory, record in list_runs(cache)]
    if condemned:
        here += [FoundRun(record.run, directory, record, True) for directory, record in condemned_runs(cache)]
    known: dict[str, FoundRun] = {}
    for each in sorted(here, key=_is_copy):
        known.setdefault(each.run_id, each)
    if run in known:
        return known[run]
    if broker:
        try:
            with connect(broker) as connection:
                known |= {
                    run_id: FoundRun(run_id) for run_id in RunRegistry(connection).run_ids() if run_id not in known
                }
        except Disconnected:
            if not any(run_id.startswith(run) for run_id in known):
                raise
    found = [each for run_id, each in known.items() if run_id == run] or [
        each for run_id, each in known.items() if run_id.startswith(run)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"'{run}' may be any of {', '.join(sorted(each.run_id for each in found))}; give more of the id"
        )
    there = f"the runs there are {', '.join(list(known)[:5])}" if known else "there is none at all"
    raise UsageError(
        f"no run '{run}' in {cache}{' or at the broker' if broker else ''}; {there} (pipeline-coordinator runs lists "
        f"them; --cache-dir{'' if broker else ' and --broker'} look elsewhere)"
    )


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """A connection that is closed at the end."""
    with closing(Connection(url, REPLY_SECONDS)) as connection:
        yield connection


@contextmanager
def broker_of(found: FoundRun, broker: str | None) -> Iterator[Connection | None]:
    """The broker of a run; None where it is an embedded one that does not run now.

    Args:
        broker: as the command line or the environment names it.

    Raises:
        UsageError: it must be named.
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
    """The URL of the embedded broker that runs on the data of a run directory now; None if there is none."""
    folder = SocketFolder.of(directory.broker)
    if folder is None or leftover(directory.broker) is None:
        return None
    return folder.url if ping(folder.socket) else None


def coordinator_of(found: FoundRun, lease: Mapping[str, Any] | None) -> str | None:
    """Who coordinates the run now, such as `process 4711 on gpu-2`; None if nobody does.

    Args:
        lease: what the broker says of the lease's holder.
    """
    if found.directory is not None and (holder := found.directory.holder()):
        return holder
    if lease is None or is_outlived(found, lease):
        return None
    return one_line(f"process {lease.get('pid')} on {lease.get('host')}", LONGEST_NAME)


def is_outlived(found: FoundRun, lease: Mapping[str, Any]) -> bool:
    """Has a lease only not run out yet? Its holder would have the lock of the run directory, and nobody else has."""
    return found.directory is not None and found.directory.is_of(lease)


def local_coordinator(directory: RunDirectory) -> int | None:
    """Pid of the process on this host that holds the lock of a run directory.

    It is the process that has the lock file open, not only one that has its number by now.
    """
    found = HOLDER.fullmatch(directory.holder() or "")
    if found is None or found.group(2) != socket.gethostname():
        return None
    pid = int(found.group(1))
    lock = directory.path / LOCK
    try:
        opened = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None
    return pid if any(_is_same(file, lock) for file in opened) else None


def _is_copy(found: FoundRun) -> bool:
    assert found.directory is not None
    assert found.record is not None
    return found.directory.original_of(found.record) is not None


def _url_of(found: FoundRun, broker: str | None) -> str | None:
    if found.directory is None or found.record is None:
        return broker
    recorded = found.record.broker
    if recorded is None:
        return embedded_url(found.directory)
    # A broker that is named may be meant for other runs (the environment), or be the same one under another name.
    if broker is not None and (redact(broker) == recorded or _knows(broker, found.run_id)):
        return broker
    if HIDDEN in recorded:
        raise UsageError(
            f"run '{found.run_id}' is at {recorded}, and passwords are not kept: give --broker URL, or set "
            "PENSTOCK_BROKER_URL"
        )
    return recorded


def _knows(url: str, run_id: str) -> bool:
    try:
        with connect(url) as connection:
            return run_id in RunRegistry(connection).run_ids()
    except BrokerError:
        return False


def _is_same(file: Path, other: Path) -> bool:
    try:
        return os.path.samefile(file, other)
    except OSError:
        return False
