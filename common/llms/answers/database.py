"""The file of kept answers: what is in it, and how it is opened.

SQLite was chosen because a damaged or truncated file is an error there, never the end of the process.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.cache import make_private

FORMAT = 1
_MARK = 0x50534B41
"""SQLite's `application_id` of these files."""
_PAUSE = 0.01

_TABLES = f"""
CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT NOT NULL, begun TEXT NOT NULL, used INTEGER NOT NULL,
                   UNIQUE (name, begun));
CREATE TABLE answers (id INTEGER PRIMARY KEY, request BLOB NOT NULL, run INTEGER NOT NULL, made INTEGER NOT NULL,
                      rejected INTEGER NOT NULL, model TEXT NOT NULL, parts BLOB NOT NULL, digest BLOB NOT NULL,
                      reply BLOB NOT NULL);
CREATE INDEX answers_of_a_request ON answers (request, id);
CREATE TABLE claims (claimant BLOB PRIMARY KEY, run INTEGER NOT NULL, answer INTEGER NOT NULL,
                     attempt INTEGER NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX claims_of_a_run ON claims (run, answer);
PRAGMA application_id = {_MARK};
PRAGMA user_version = {FORMAT};
"""
"""`reply` is compressed with zstd, and `digest` is that of the compressed bytes. A claim gives an answer to one place
of a run: `claimant` identifies it."""


class UnknownFormat(Exception):
    """The file is not one of kept answers, or one of another version."""


def connect(path: Path, wait: float) -> sqlite3.Connection:
    """A connection for one thread; creates the file if it does not exist.

    Args:
        wait: seconds to wait for another process that writes.

    Raises:
        UnknownFormat: what is there is left as it is.
        sqlite3.Error, OSError: it cannot be used.
    """
    if not path.parent.exists():
        make_private(path.parent)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite's files beside it get its mode
    connection = sqlite3.connect(path, timeout=wait, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, time.monotonic() + wait)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, until: float) -> None:
    while True:
        try:
            if not _is_known(connection):
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            if not _is_known(connection):
                with transaction(connection):
                    if not _is_known(connection):  # nobody else was quicker
                        for statement in _TABLES.split(";"):
                            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > until:
                raise
            time.sleep(_PAUSE)  # the change of the journal mode does not wait for others


def _is_known(connection: sqlite3.Connection) -> bool:
    """False for an empty file."""
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if (mark, version) == (_MARK, FORMAT):
        return True
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if mark or version or tables:
        raise UnknownFormat(
            f"it is of format {version}, and this version of Penstock has format {FORMAT}"
            if mark == _MARK
            else "something other than Penstock has written it"
        )
    return False


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits what is executed within, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process writes just now."""
    return "locked" in str(error) or "busy" in str(error)
