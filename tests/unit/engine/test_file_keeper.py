"""Unneeded files: they are deleted after a while, and nothing else ever is."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.payloads.stores import MARK, FileStore
from common.protocol.batch import Chunk, Failure, Reopened, Result
from coordinator.engine.file_keeper import FileKeeper, is_needed
from tests.support.fold.fold_words import Fold, generator, global_step, part, step

DELAY = 100.0


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    store = FileStore(str(tmp_path / "run-1"))
    store.open("run-1")
    return store


class Kept:
    """A keeper whose clock the test holds."""

    def __init__(self, store: FileStore, fold: Fold) -> None:
        self.keeper = FileKeeper(store, DELAY, fold.manager)
        self._store = store

    def at(self, now: float) -> set[str]:
        """What is in the folder once everything that is due at this time is done."""
        for _ in range(4):  # list, delete what is due of it, and once more to see that nothing follows
            self.keeper.tend(now)
            thread = self.keeper._thread
            assert thread is not None
            thread.join()
        return set(self._store.names()) - {MARK}


def stored(
    store: FileStore, fold: Fold, name: str, seq: int, attempt: int = 0, rows: int = 10, **fields: object
) -> str:
    """A result whose payload is in a file; returns the file's name."""
    file = store.write(name, seq, attempt, b"rows")
    fold(Result(name, seq, attempt, (Chunk(rows, rows, file),), **fields))  # type: ignore[arg-type]
    return file


def test_a_released_file_stays_for_a_while_and_counts_as_long(store: FileStore) -> None:
    fold = Fold(generator(), step("a", "g"))
    file = stored(store, fold, "g", 0, last=True)
    kept = Kept(store, fold)
    leaf = stored(store, fold, "a", 0, taken=10)  # consumes what the generator made
    kept.keeper.release(file, 10, 0.0)
    kept.keeper.release(file, 10, 5.0)
    assert kept.keeper.bytes == 10
    assert kept.at(DELAY - 1) == {file, leaf}
    assert kept.at(DELAY) == {leaf}
    assert kept.keeper.bytes == 0


def test_an_orphan_goes_when_it_was_seen_for_a_while(store: FileStore) -> None:
    fold = Fold(generator(), step("a", "g"))
    needed = stored(store, fold, "g", 0)
    orphan = store.write("g", 0, 0, b"of a worker that died before its commit")
    kept = Kept(store, fold)
    assert kept.at(1_000.0) == {needed, orphan}
    assert kept.at(1_000.0 + DELAY) == {needed}


def test_what_a_result_may_still_name_is_no_orphan(store: FileStore) -> None:
    fold = Fold(generator(), step("a", "g"), global_step("all", "a"))
    stored(store, fold, "g", 0, last=False)
    coming = {store.write("a", 0, 0, b"in hand"), store.write("g", 3, 0, b"made ahead of its commit")}
    kept = Kept(store, fold)
    assert coming < kept.at(0.0)
    assert coming < kept.at(10 * DELAY)
    late = store.write("a", 0, 0, b"of the worker that had the batch before")
    file = stored(store, fold, "a", 0, taken=10)
    assert is_needed(fold.manager, file)
    assert not is_needed(fold.manager, late)


def test_the_output_of_a_global_step_is_needed_before_its_only_commit(store: FileStore) -> None:
    fold = Fold(generator(), global_step("all", "g"))
    stored(store, fold, "g", 0, last=True)
    pieces = [store.write("all", seq, 0, b"rows") for seq in range(3)]
    assert all(is_needed(fold.manager, piece) for piece in pieces)
    fold(Result("all", 0, 0, tuple(Chunk(5, 5, piece) for piece in pieces[:2]), taken=10))
    assert [is_needed(fold.manager, piece) for piece in pieces] == [True, True, False]
    fold(part("all", 0, 0, 5))
    assert [is_needed(fold.manager, piece) for piece in pieces] == [False, True, False]


def test_what_a_failed_attempt_has_written_is_an_orphan(store: FileStore) -> None:
    fold = Fold(generator(), step("a", "g"))
    stored(store, fold, "g", 0, last=True)
    old = store.write("a", 0, 0, b"rows")
    fold(Failure("a", 0, 0, "it raised"), Reopened())
    assert not is_needed(fold.manager, old)
    assert is_needed(fold.manager, store.write("a", 0, 1, b"rows"))


def test_what_the_breaker_holds_is_needed_until_it_is_done_again(store: FileStore) -> None:
    fold = Fold(generator(), step("a", "g"))
    stored(store, fold, "g", 0, last=False)
    held = stored(store, fold, "a", 0, rows=2, taken=10, failed=8)
    assert is_needed(fold.manager, held)


@pytest.mark.parametrize("name", [MARK, "artifacts", "notes.txt", "other-0-0-0123456789ab." + 32 * "0"])
def test_what_is_no_payload_of_the_run_is_left_alone(store: FileStore, name: str) -> None:
    assert is_needed(Fold(generator(), step("a", "g")).manager, name)


def test_a_folder_that_cannot_be_used_now_is_tried_again(store: FileStore, tmp_path: Path) -> None:
    fold = Fold(generator(), step("a", "g"))
    orphan = store.write("g", 0, 0, b"rows")
    fold(Result("g", 0, 0, last=True))
    kept = Kept(store, fold)
    kept.at(0.0)
    file = tmp_path / "run-1" / orphan
    file.unlink()
    file.mkdir()  # cannot be deleted as a file
    assert kept.at(DELAY) == {orphan}
    file.rmdir()
    file.touch()
    assert kept.at(DELAY + 30) == {orphan}
    assert kept.at(DELAY + 60) == set()
