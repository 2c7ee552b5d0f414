"""Scores in replies: on their scale, of the text that is named, and never of another one."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RowError
from common.steps.tasks.reply_scores import numbered_scores, reviews_in, score_of


@pytest.mark.parametrize(
    "said", ["4", " 4 ", "**4**", "4/5", "4 / 5", "4 out of 5", "(4)", "[4]", "4.", "4.0", "+4", "`4`", 4, 4.0]
)
def test_a_score_is_a_whole_number_on_its_scale(said: Any) -> None:
    assert score_of(said, 1, 5) == 4


@pytest.mark.parametrize(
    "said",
    [
        *["", "four", "4.5", ".4", "4,0", "4-5", "4 or 5", "6", "0", "-4", "4/10", "8 out of 10", "4%", "IV", "1e0"],
        *["4 4", 4.5, 0, 6, True, None, [4], float("nan"), float("inf"), 10**400],
    ],
)
def test_anything_else_is_no_score(said: Any) -> None:
    with pytest.raises(RowError, match="is not a whole number from 1 to 5"):
        score_of(said, 1, 5)


@pytest.mark.parametrize("said", ["-2", "\u22122", -2])
def test_a_scale_may_go_below_zero(said: Any) -> None:
    assert score_of(said, -2, 2) == -2


FORMS = ["[{}] Score: {}", "{}. Score: {}", "Response {}: {}", "- **[{}]** Score: **{}**", "({}) {}/9", "| {} | {} |"]
REMARKS = ["", ".", " - clear and short", " (good)", ", but long", "  "]
ORDERS = st.lists(st.integers(1, 9), min_size=1, max_size=12).flatmap(
    lambda scores: st.permutations(list(enumerate(scores, 1)))
)


@given(ORDERS, st.sampled_from(FORMS), st.sampled_from(REMARKS), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_each_text_gets_the_score_of_its_number(order: list[tuple[int, int]], form: str, remark: str, end: str) -> None:
    reply = end.join(form.format(*each) + remark for each in order)
    assert numbered_scores(f"Here they are:{end}{reply}{end}", len(order), 1, 9) == [
        score for _, score in sorted(order)
    ]
    for other in (len(order) - 1, len(order) + 1):
        with pytest.raises(RowError):
            numbered_scores(reply, other, 1, 9)


@given(st.lists(st.integers(1, 9), min_size=1), st.integers(0, 12))
def test_an_array_has_a_score_for_each_text(scores: list[int], count: int) -> None:
    reply = f"Here: {orjson.dumps({'scores': scores}).decode()}"
    if count == len(scores):
        assert numbered_scores(reply, count, 1, 9) == scores
    else:
        with pytest.raises(RowError):
            numbered_scores(reply, count, 1, 9)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("[1] Score: 3\n[1] Score: 3", "speaks of the texts 1, and not once of each from 1 to 2"),
        ("[1] Score: 3\n[2] Score: 2\n[1] Score: 1", "text 1 has two scores that differ"),
        ("[1] Score: 3\n[2] Score: 2\n[3] Score: 1", "speaks of the texts 1, 2, 3"),
        ("[0] Score: 3\n[1] Score: 2", "speaks of the texts 0, 1"),
        ("[1] Score: 3\n[2] Score: good", "'good' is not a whole number"),
        ("[1] Score: 3\n[2] Score: 2 or 3", "'2 or 3' is not"),
        ("[1] Score: 3\n[2] Score: 2 (3 at best)", r"'2 \(3 at best' is not"),
        ("[1] Score: 3\n[2] Score: 4", "'4' is not a whole number from 1 to 3"),
        ("[1] -3\n[2] 2", "'-3' is not"),
        ("Score: 3\nScore: 2", "no JSON object"),
        ("1.5\n2.5", "no JSON object"),
        ("3, 2", "no JSON object"),
        ('{"scores": "3, 2"}', "holds a value of type str"),
        ('{"scores": [3, true]}', "True is not"),
    ],
)
def test_no_score_is_guessed(reply: str, says: str) -> None:
    with pytest.raises(RowError, match=says):
        numbered_scores(reply, 2, 1, 3)


def test_lines_that_score_nothing_do_not_count() -> None:
    reply = "Criteria:\n1. Depth\n2. Detail: 2 examples\n3) 10 points of\n2024: a year\n\n[1] Score: 3\n[2] Score: 2"
    assert numbered_scores(f"<think>[1] Score: 1</think>{reply}", 2, 1, 3) == [3, 2]


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ('{"texts": [{"text": 1, "why": "a"}, {"text": 1, "why": "b"}]}', "speaks of the texts 1,"),
        ('{"texts": [{"text": 1, "why": "a"}, {"text": 3, "why": "b"}]}', "'?3'? is not a whole number from 1 to 2"),
        ('{"texts": [{"text": 1, "why": "a"}]}', "has 1 elements for 2 texts"),
        ('{"texts": [{"text": 1, "why": "a"}, {"text": 2}]}', "has no why"),
        ('{"texts": [1, 2]}', "where an object is expected"),
        ("<text_1><why>a</why></text_1>", "speaks of the texts 1,"),
        ("<text_1><why>a</why></text_1><text_2></text_2>", "has no words"),
        ("<text_2><why>a</why></text_2><text_3><why>b</why></text_3>", "speaks of the texts 2, 3"),
        ("<text_1><why>a</why></text_1><text_2>b</text_2><why>b</why>", "<why> is there 0 times"),
    ],
)
def test_no_review_is_guessed(reply: str, says: str) -> None:
    with pytest.raises(RowError, match=says):
        reviews_in(reply, 2, ["why"])


def test_reviews_belong_to_the_texts_that_they_name() -> None:
    expected = [{"why": "a"}, {"why": "b"}]
    assert reviews_in("<TEXT_2><why>b</why></TEXT_2> <text_1><why>a</why></text_1>", 2, ["why"]) == expected
    json = '{"texts": [{"text": 2, "why": "b"}, {"text": 1, "why": "a", "more": 1}]}'
    assert reviews_in(json, 2, ["why"]) == expected


@pytest.mark.parametrize(
    "hostile", ["text", "[1] ", "1: ", "*", "1*", "[1] Score: (", "text   ", "<text_1>", "-3", "| "]
)
@pytest.mark.parametrize("times", [100_000])
def test_a_hostile_reply_costs_little(hostile: str, times: int) -> None:
    start = time.process_time()
    for reply in (hostile * times, f"[1]{hostile * times}", " " * times + hostile):
        for read in (lambda text: numbered_scores(text, 2, 1, 3), lambda text: reviews_in(text, 2, ["why"])):
            with pytest.raises(RowError):
                read(reply)
    assert time.process_time() - start < 2
