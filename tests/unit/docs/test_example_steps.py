"""The steps and the data of the quickstart."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.steps.base import Row, Step
from tests.support.places import REPOSITORY

EXAMPLES = REPOSITORY / "examples"


@pytest.fixture(scope="module")
def mysteps() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module("mysteps")
        del sys.modules["mysteps"]


def run(step: Step, rows: list[Row]) -> list[Row]:
    return [row for batch in step.process(rows) for row in batch]


def texts(*values: str) -> list[Row]:
    return [{"id": number, "text": value} for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("raw", "tidy"),
    [
        ("  What country,\n friends,\tis\u00a0this? ", "What country, friends, is this?"),
        ("\u201cWho\u2019s there?\u201d", '"Who\'s there?"'),
        ("12. The hart.", "The hart."),
        ("(3) The hart.", "The hart."),
        ("1) 2) The hart.", "The hart."),
        ("1599 was a good year.", "1599 was a good year."),
        ("1599. The Globe opens.", "1599. The Globe opens."),
        ("3.5 miles hence.", "3.5 miles hence."),
        ("", ""),
    ],
)
def test_normalize_tidies_white_space_quotes_and_numbering(mysteps: ModuleType, raw: str, tidy: str) -> None:
    assert run(mysteps.Normalize(name="clean"), texts(raw)) == [{"id": 0, "text": tidy}]


def test_normalize_writes_lower_case_only_when_asked_to(mysteps: ModuleType) -> None:
    rows = texts("My Lord?")
    assert run(mysteps.Normalize(name="clean"), rows)[0]["text"] == "My Lord?"
    assert run(mysteps.Normalize(name="clean", lowercase=True), rows)[0]["text"] == "my lord?"


def test_normalize_leaves_its_input_as_it_was(mysteps: ModuleType) -> None:
    rows = texts(" Ay. ")
    run(mysteps.Normalize(name="clean"), rows)
    assert rows == texts(" Ay. ")


@given(st.lists(st.text()))
def test_normalize_gives_a_row_for_a_row_and_nothing_to_do_the_second_time(
    mysteps: ModuleType, values: list[str]
) -> None:
    step = mysteps.Normalize(name="clean")
    once = run(step, texts(*values))
    assert [row["id"] for row in once] == list(range(len(values)))
    assert run(step, once) == once


def test_drop_duplicates_keeps_the_first_of_equal_rows_in_order(mysteps: ModuleType) -> None:
    rows = texts("Ay, my lord.", "No.", "AY MY LORD!", "Fianc\u00e9?", "\u2018Ay,  my lord\u2019", "no", "fiance\u0301")
    assert [row["id"] for row in run(mysteps.DropDuplicates(name="unique"), rows)] == [0, 1, 3]


@pytest.mark.parametrize(
    ("one", "other"),
    [("C++", "C"), ("?!", "..."), ("\u0915\u093f", "\u0915\u0940"), ("to day", "today"), ("na\u00efve", "naive")],
)
def test_drop_duplicates_keeps_texts_that_differ_in_more_than_case_and_punctuation(
    mysteps: ModuleType, one: str, other: str
) -> None:
    assert len(run(mysteps.DropDuplicates(name="unique"), texts(one, other))) == 2


def test_drop_duplicates_compares_all_columns_that_it_is_given(mysteps: ModuleType) -> None:
    rows: list[Row] = [
        {"text": "Ay.", "speaker": "Casca", "act": 1},
        {"text": "Ay!", "speaker": "Brutus", "act": 1},
        {"text": "Ay,", "speaker": "Casca", "act": 1},
        {"text": "Ay,", "speaker": "Casca", "act": "1"},
    ]
    step = mysteps.DropDuplicates(name="unique", columns=["text", "speaker", "act"])
    assert step.inputs == ["text", "speaker", "act"]
    assert run(step, rows) == [rows[0], rows[1], rows[3]]


@given(st.lists(st.text(alphabet="aAb ,.", max_size=4)))
def test_drop_duplicates_drops_nothing_the_second_time(mysteps: ModuleType, values: list[str]) -> None:
    step = mysteps.DropDuplicates(name="unique")
    once = run(step, texts(*values))
    assert run(step, once) == once
    assert [row["id"] for row in once] == sorted({row["id"] for row in once})


def test_the_quickstart_data_are_what_their_readme_says(mysteps: ModuleType) -> None:
    lines = (EXAMPLES / "data" / "shakespeare.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == len({row["id"] for row in rows}) == 8_610
    assert all(list(row) == ["id", "play", "speaker", "text"] for row in rows)
    clean = run(mysteps.Normalize(name="clean"), rows)
    assert sum(before != after for before, after in zip(rows, clean, strict=True)) == 1_300
    assert len({row["text"] for row in clean}) == 8_610 - 189
    assert len(run(mysteps.DropDuplicates(name="unique"), clean)) == 8_403
