"""The dead letters of a run: what is kept, what counts, what survives a crash."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.protocol.batch import DeadLetter
from coordinator.runs.failures import WRITER, FailureLog


def letter(step: str = "generate", seq: int = 0, attempt: int = 0, position: int = 0, **fields: Any) -> DeadLetter:
    given = {"error": "boom", "attempts": 3, "worker": "ab12", "row": {"text": "hello"}, **fields}
    return DeadLetter(step, seq, attempt, position, **given)


@pytest.fixture
def log(tmp_path: Path) -> FailureLog:
    return FailureLog(tmp_path / "failures.jsonl")


def test_a_log_that_was_never_written_has_no_letters(log: FailureLog) -> None:
    assert list(log.read()) == []
    assert log.counts() == {}


def test_no_letters_make_no_file(log: FailureLog) -> None:
    log.append([])
    assert not log.path.exists()


def test_letters_come_back_as_they_were_in_their_order(log: FailureLog) -> None:
    letters = [letter(position=2), letter(seq=7, error="a\nb", row=None), letter("keep", row={"n": [1, {"x": None}]})]
    log.append(letters[:1])
    log.append(letters[1:])
    assert list(log.read()) == letters


def test_each_line_is_one_json_object_with_the_names_that_people_filter_by(log: FailureLog) -> None:
    log.append([letter(seq=4, attempt=1, position=2)])
    (line,) = log.path.read_text().splitlines()
    assert json.loads(line) == {
        "step": "generate",
        "seq": 4,
        "attempt": 1,
        "position": 2,
        "error": "boom",
        "attempts": 3,
        "worker": "ab12",
        "row": {"text": "hello"},
    }


def test_values_that_json_does_not_have_become_text(log: FailureLog) -> None:
    when = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    log.append([letter(row={"when": when, "raw": b"caf\xc3\xa9 \xff", "nan": float("nan"), "deep": [(when,)]})])
    assert next(log.read()).row == {
        "when": "2026-11-22T12:00:00+00:00",
        "raw": "café \\xff",
        "nan": "nan",
        "deep": [["2026-11-22T12:00:00+00:00"]],
    }
    json.loads(log.path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_half_a_character_survives(log: FailureLog) -> None:
    log.append([letter(row={"text": "a\ud83d"})])
    assert next(log.read()).row == {"text": "a\ud83d"}
    log.path.read_bytes().decode("utf-8")


def test_a_letter_that_was_appended_twice_counts_once(log: FailureLog) -> None:
    letters = [letter(position=position) for position in (0, 63, 64, 10**12)]
    log.append(letters)
    log.append(letters)
    assert list(log.read()) == letters


def test_a_row_that_fails_again_at_another_worker_counts_once(log: FailureLog) -> None:
    log.append([letter(worker="ab12"), letter(worker="cd34")])
    assert list(log.read()) == [letter(worker="ab12")]


def test_a_row_may_fail_in_its_step_and_when_it_is_written(log: FailureLog) -> None:
    log.append([letter(worker="ab12"), letter(worker=WRITER)])
    assert len(list(log.read())) == 2


@pytest.mark.parametrize("other", [letter("keep"), letter(seq=1), letter(attempt=1), letter(position=1)])
def test_letters_that_differ_in_identity_all_count(log: FailureLog, other: DeadLetter) -> None:
    log.append([letter(), other])
    assert len(list(log.read())) == 2


def test_letters_of_a_batch_that_was_done_again_are_void(log: FailureLog) -> None:
    log.append([letter(seq=3, position=1), letter(seq=4)])
    log.redone("generate", 3, 1)
    log.append([letter(seq=3, attempt=1, position=2)])
    assert list(log.read()) == [letter(seq=4), letter(seq=3, attempt=1, position=2)]
    assert log.counts() == {"generate": 2}


def test_a_void_letter_stays_void_when_it_comes_after_the_mark(log: FailureLog) -> None:
    log.redone("generate", 3, 2)
    log.redone("generate", 3, 1)
    log.append([letter(seq=3, attempt=1), letter(seq=3, attempt=2)])
    assert list(log.read()) == [letter(seq=3, attempt=2)]


def test_a_mark_voids_only_its_own_batch(log: FailureLog) -> None:
    log.append([letter("a", seq=1), letter("b", seq=1), letter("a", seq=2)])
    log.redone("a", 1, 1)
    assert [(each.step, each.seq) for each in log.read()] == [("b", 1), ("a", 2)]


def test_a_row_with_a_column_named_redone_is_a_letter_all_the_same(log: FailureLog) -> None:
    log.append([letter(row={"redone": True})])
    assert log.counts() == {"generate": 1}


def test_counts_are_per_step(log: FailureLog) -> None:
    log.append([letter(position=position) for position in range(5)] + [letter("keep")])
    assert log.counts() == {"generate": 5, "keep": 1}


def test_a_line_that_a_crash_tore_does_not_spoil_the_next_one(log: FailureLog) -> None:
    log.append([letter(position=0)])
    whole = log.path.read_bytes()
    log.append([letter(position=1)])
    log.path.write_bytes(log.path.read_bytes()[: len(whole) + 20])
    assert list(log.read()) == [letter(position=0)]
    log.append([letter(position=1), letter(position=2)])
    assert [each.position for each in log.read()] == [0, 1, 2]


@pytest.mark.parametrize("line", ["", "[]", "null", "3", "{}", '{"step": 1}', '{"redone": true}', "\x00", "[" * 10_000])
def test_lines_that_are_no_letters_are_passed_over(log: FailureLog, line: str) -> None:
    log.append([letter(position=0)])
    with log.path.open("a") as file:
        file.write(f"{line}\n")
    log.append([letter(position=1)])
    assert [each.position for each in log.read()] == [0, 1]


def test_reading_needs_no_memory_for_the_rows(log: FailureLog) -> None:
    big = "x" * 100_000
    for seq in range(10):
        log.append([letter(seq=seq, position=position, row={"text": big}) for position in range(10)])
    tracemalloc.start()
    try:
        assert sum(1 for _ in log.read()) == 100
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert log.path.stat().st_size > 10_000_000
    assert peak < 3_000_000


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("letter"), st.integers(0, 2), st.integers(0, 2), st.integers(0, 130)),
            st.tuples(st.just("redone"), st.integers(0, 2), st.integers(0, 2), st.just(0)),
        ),
        max_size=30,
    )
)
def test_what_counts_is_each_letter_once_of_the_last_attempt(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[str, int, int, int]]
) -> None:
    log = FailureLog(tmp_path_factory.mktemp("log") / "failures.jsonl")
    for what, seq, attempt, position in written:
        if what == "letter":
            log.append([letter(seq=seq, attempt=attempt, position=position)])
        else:
            log.redone("generate", seq, attempt)
    latest = {
        seq: max([a for what, s, a, _ in written if what == "redone" and s == seq], default=0) for seq in range(3)
    }
    expected = dict.fromkeys(
        (seq, attempt, position)
        for what, seq, attempt, position in written
        if what == "letter" and attempt >= latest[seq]
    )
    assert [(each.seq, each.attempt, each.position) for each in log.read()] == list(expected)
