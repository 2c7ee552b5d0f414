"""What a store knows of the requests in its file without asking for each: those of others a moment late, never less."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from common.llms.answers import known_requests
from common.llms.answers.database import connect
from common.llms.answers.known_requests import KnownRequests

HERE, NOT_HERE = (bytes([number]) * 16 for number in (1, 2))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "answers.sqlite"


@pytest.fixture
def reads(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(file, 1.0)) as connection:
        yield connection


def write(file: Path, *requests: bytes) -> None:
    with closing(connect(file, 1.0)) as connection:
        for request in requests:
            connection.execute(
                "INSERT INTO answers (request, run, made, rejected, model, parts, digest, reply) "
                "VALUES (?, 1, 1, 0, 'm', x'', x'', x'')",
                (request,),
            )


def test_the_file_is_asked_once_in_a_while_and_not_for_each_request(file: Path, reads: sqlite3.Connection) -> None:
    write(file, HERE)
    known = KnownRequests(reads)
    asked: list[str] = []
    reads.set_trace_callback(asked.append)
    assert known.may_have(HERE)
    looked = len(asked)
    assert not any(known.may_have(os.urandom(16)) for _ in range(1000))
    assert looked <= len(asked) < 200


def test_what_others_write_is_known_a_moment_later(
    file: Path, reads: sqlite3.Connection, wait_until: Callable[..., None]
) -> None:
    known = KnownRequests(reads)
    assert not known.may_have(HERE)
    write(file, HERE)
    wait_until(lambda: known.may_have(HERE))
    assert not known.may_have(NOT_HERE)


def test_what_this_process_writes_is_known_at_once(reads: sqlite3.Connection) -> None:
    known = KnownRequests(reads)
    assert not known.may_have(HERE)
    known.add(HERE)
    assert known.may_have(HERE)


def test_answers_that_come_after_all_were_deleted_are_known(
    file: Path, reads: sqlite3.Connection, wait_until: Callable[..., None]
) -> None:
    write(file, *(os.urandom(16) for _ in range(9)))
    known = KnownRequests(reads)
    assert not known.may_have(HERE)
    with closing(connect(file, 1.0)) as connection:
        connection.execute("DELETE FROM answers")
    write(file, HERE)
    wait_until(lambda: known.may_have(HERE))


@pytest.mark.parametrize("before", [3, 0])
def test_a_file_with_too_many_is_asked_for_each_request(
    file: Path,
    reads: sqlite3.Connection,
    before: int,
    monkeypatch: pytest.MonkeyPatch,
    wait_until: Callable[..., None],
) -> None:
    monkeypatch.setattr(known_requests, "MOST", 2)
    write(file, *(os.urandom(16) for _ in range(before)))
    known = KnownRequests(reads)
    assert known.may_have(HERE) is (before > 2)
    write(file, *(os.urandom(16) for _ in range(3)))
    wait_until(lambda: known.may_have(HERE))
