"""ParseColumns: what is read from texts, what fails, and what is refused before any row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.errors import RowError
from common.steps import ParseColumns
from common.steps.base import Row
from worker.runners.attempts import call_step


def parsed(text: Any, **parameters: Any) -> Row:
    (row,) = call_step(ParseColumns(**parameters), [[{"generation": text}]])
    assert row.pop("generation") == text
    return row


@pytest.mark.parametrize(
    ("text", "scale", "points"),
    [
        ("4/5", None, 4),
        ("I give it 8 out of 10.", 5, 4),
        ("Four", 5, 4),
        ("four out of five", 10, 8),
        ("Rating: 4.5", 5, 4.5),
        ("This one is a 3", 5, 3),
        ("80%", 5, 4),
        ("2 reasons, so 3 of 4", 4, 3),
        (4, 5, 4),
        ("0/10", 5, 0),
    ],
)
def test_scores_are_read_as_people_and_models_write_them(text: Any, scale: float | None, points: float) -> None:
    assert parsed(text, columns={"score": {"as": "score", "scale": scale}}) == {"score": points}


@given(points=st.integers(0, 100), most=st.integers(1, 100), scale=st.integers(1, 100))
def test_a_score_keeps_its_share_on_every_scale(points: int, most: int, scale: int) -> None:
    how = {"score": {"as": "score", "scale": scale}}
    if points > most:
        with pytest.raises(RowError, match=f"is {points}, not between 0 and {most}"):
            parsed(f"{points}/{most}", columns=how)
    else:
        assert parsed(f"{points}/{most}", columns=how)["score"] == pytest.approx(points / most * scale)


@given(number=st.integers(-(10**9), 10**9))
def test_the_first_number_counts_with_or_without_commas(number: int) -> None:
    for written in (str(number), f"{number:,}", f"about {number}, or 7"):
        assert parsed(written, columns={"n": {"as": "number"}}) == {"n": number}


def test_named_groups_become_columns_and_may_be_read_further() -> None:
    pattern = r"Reason: (?P<reason>.*)\nScore: (?P<score>.*)"
    text = "Reason: clear\nScore: 8 out of 10"
    assert parsed(text, pattern=pattern) == {"reason": "clear", "score": "8 out of 10"}
    found = parsed(text, pattern=pattern, columns={"score": {"as": "score", "scale": 5}, "first": {"pattern": r"\w+"}})
    assert found == {"reason": "clear", "score": 4, "first": "Reason"}


def test_json_is_read_at_a_path_fenced_or_not() -> None:
    text = '{"answer": {"items": [{"text": "a"}, {"text": "b 7"}]}}'
    for written in (text, f"```json\n{text}\n```", {"answer": {"items": [{"text": "a"}, {"text": "b 7"}]}}):
        assert parsed(written, columns={"x": {"path": "answer.items[-1].text"}}) == {"x": "b 7"}
        assert parsed(written, columns={"x": {"path": "$.answer.items[1].text", "as": "number"}}) == {"x": 7}


@pytest.mark.parametrize(
    ("text", "how", "message"),
    [
        ("none", {"as": "score"}, "column 'x' cannot be read from 'generation': there is no score in 'none'"),
        ("none", {"as": "number"}, "there is no number in 'none'"),
        ("6", {"as": "score", "scale": 5}, "is 6, not between 0 and 5"),
        ("a", {"pattern": "b"}, "pattern 'b' is not in 'a'"),
        ("{}", {"path": "a.b"}, "there is no 'a' of the path 'a.b' in '{}'"),
        ("[1]", {"path": "[1]"}, r"there is no 1 of the path '\[1\]'"),
        ("{", {"path": "a"}, "is not JSON"),
        (None, {"pattern": "b"}, "text is expected, and there is None"),
    ],
)
def test_what_is_not_found_fails_the_row_unless_it_is_optional(text: Any, how: dict[str, Any], message: str) -> None:
    with pytest.raises(RowError, match=message):
        parsed(text, columns={"x": how})
    assert parsed(text, columns={"x": how | {"optional": True}}) == {"x": None}


def test_a_pattern_that_is_not_there_fails_unless_its_columns_are_optional() -> None:
    with pytest.raises(RowError, match="is not in column 'generation': 'abc'"):
        parsed("abc", pattern="(?P<a>x)")
    assert parsed("abc", pattern="(?P<a>x)", columns={"a": {"optional": True}}) == {"a": None}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "there is nothing to read"),
        ({"pattern": "(a"}, "is not a regular expression"),
        ({"pattern": "(a)"}, "no named group"),
        ({"columns": {"x": {"path": "a..b"}}}, "'a..b' is not a path"),
        ({"columns": {"x": {"path": ""}}}, "is not a path"),
        ({"columns": {"x": {"scale": 5}}}, "scale is for scores only"),
    ],
)
def test_wrong_parameters_are_refused_before_any_row(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ParseColumns(**parameters)
