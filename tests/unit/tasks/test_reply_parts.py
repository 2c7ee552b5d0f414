"""Parts of replies: read wherever they stand, never chosen among several, in time that grows with the reply."""

from __future__ import annotations

import contextlib
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RowError
from common.steps.tasks.draws import draws_of
from common.steps.tasks.reply_parts import items_in, parts_in, record_in, tagged

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip()))
PLAIN = WORDS.filter(lambda text: "<" not in text)


@given(WORDS, WORDS, st.text(st.characters(exclude_characters='{"', exclude_categories=["Cs"])))
def test_an_object_is_read_wherever_it_stands(one: str, other: str, around: str) -> None:
    reply = around + orjson.dumps({"other": other, "one": one}).decode() + around
    if "</think>" not in reply:
        assert record_in(reply, ["one", "other"]) == {"one": one.strip(), "other": other.strip()}


@given(PLAIN, PLAIN)
def test_tags_are_read_in_any_order(one: str, other: str) -> None:
    reply = f"<other>{other}</other> and <one>{one}</one>"
    assert parts_in(reply, ["one", "other"]) == {"one": one.strip(), "other": other.strip()}


@pytest.mark.parametrize(
    "reply",
    [
        '{"one": "a"} {"one": "b"}',
        '{"one": "a", "one": "b"}',
        '{"one": "a", "ONE": "b"}',
        '{"one": 1}',
        '{"one": "\\ud800"}',
        '{"two": "a"}',
        "<one>a</one><one>a</one>",
        "</one>a<one>",
        "",
    ],
)
def test_no_part_is_guessed(reply: str) -> None:
    with pytest.raises(RowError):
        parts_in(reply, ["one"])


@pytest.mark.parametrize("hostile", ["{", '{"a":', "<one>", "[{", '{"one": "'])
def test_a_hostile_reply_costs_little(hostile: str) -> None:
    start = time.process_time()
    with pytest.raises(RowError):
        parts_in(hostile * 100_000, ["one", "other"])
    assert time.process_time() - start < 2


def test_a_letter_without_a_small_form_of_one_character_moves_no_tag() -> None:
    assert tagged("İİİ <one>a</one>", "one") == "a"


def test_draws_depend_on_seed_row_and_turn_alone() -> None:
    row = {"task": "t", "n": 1}

    def drawn(seed: int, row: dict[str, object], *more: object) -> float:
        return draws_of(seed, row, *more).random()

    assert drawn(1, row) == drawn(1, {"n": 1, "task": "t", "distilabel_metadata": {"tokens": 3}})
    assert len({drawn(1, row), drawn(2, row), drawn(1, {**row, "n": 2}), drawn(1, row, 0)}) == 4


def test_a_missing_key_is_named() -> None:
    with pytest.raises(RowError, match="no key two"):
        record_in('{"one": "a"}', ["one", "two"])


LINES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1).filter(str.strip)


@given(st.lists(LINES, min_size=1, max_size=12), st.sampled_from(["1.", "1)", "1:", "**1.**", "-", "*", "•"]))
def test_the_items_of_a_list_are_read_as_they_are(texts: list[str], mark: str) -> None:
    marks = [mark.replace("1", str(number)) for number, _ in enumerate(texts, 1)]
    reply = "\n".join(f"{mark} {text}" for mark, text in zip(marks, texts, strict=True))
    if "</think>" not in reply:
        assert items_in(f"Here they are:\n\n{reply}\n\nThat is all.") == [text.strip() for text in texts]


@pytest.mark.parametrize(
    "reply",
    [
        "1. a\ngoes on",
        "1. a\n\nor\n\n2. b",
        "1. a\n3. b",
        "2. a",
        "1. a\n- b",
        "- a\n-",
        "1. a\n1. b",
    ],
)
def test_lines_that_are_not_one_list_are_none(reply: str) -> None:
    with pytest.raises(RowError):
        items_in(reply)


@pytest.mark.parametrize("reply", ["", "a\nb", "3.5 m\n-4", "1.a"])
def test_other_lines_are_no_items(reply: str) -> None:
    assert items_in(reply) == []


@pytest.mark.parametrize("hostile", ["- a\n", "*" * 50, "1. ", " \t", "(1"])
def test_a_hostile_list_costs_little(hostile: str) -> None:
    start = time.process_time()
    with contextlib.suppress(RowError):
        items_in(hostile * 100_000)
    assert time.process_time() - start < 2
