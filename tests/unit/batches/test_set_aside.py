"""Rows that pass a step by: which ones do, what becomes of them, and where they stand behind the step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RowError
from common.steps.base import AsyncStep, Row, Step, StepInput, StepOutput
from common.steps.skip_rule import SkipRule
from worker.batches.holes import WholeRows, put_back, put_between, take_whole
from worker.batches.set_aside import set_aside, set_aside_again

FATES = ("hole", "skip", "run", "unclear")
batches = st.lists(st.sampled_from(FATES), max_size=12)


class Score(Step):
    """A step with two outputs."""

    @property
    def outputs(self) -> dict[str, bool]:
        return {"score": True, "note": False}

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs


class ScoreRow(AsyncStep):
    """The same, without outputs that it declares."""

    async def process_row(self, row: Row) -> Row:
        return row


def rule(skip_when: str, **mappings: dict[str, str]) -> SkipRule:
    return SkipRule(Score(skip_when=skip_when, **mappings))


def batch(fates: Sequence[str]) -> list[Row | None]:
    values = {"skip": True, "run": False, "unclear": "what"}
    return [None if fate == "hole" else {"n": n, "done": values[fate]} for n, fate in enumerate(fates)]


def left(fates: Sequence[str]) -> WholeRows:
    return set_aside(take_whole([batch(fates)]), rule("done"))


def test_a_row_of_which_the_expression_is_true_passes_the_step_by() -> None:
    one = rule("score >= 4 and language == 'en'")
    assert one.columns == ["language", "score"]
    assert one.skips({"score": 4, "language": "en"})
    assert not one.skips({"score": 4, "language": "de"})


def test_it_speaks_of_the_columns_of_the_pipeline_whatever_the_step_calls_them() -> None:
    one = rule("answer is none", input_mappings={"text": "answer"}, output_mappings={"score": "rating"})
    assert one.columns == ["answer"]
    assert one.passed({"answer": None}) == {"answer": None, "rating": None, "note": None}


def test_a_row_that_passes_by_keeps_what_it_has_and_gets_none_in_the_columns_that_the_step_would_add() -> None:
    passed = rule("score is not none").passed({"text": "a", "score": 5})
    assert passed == {"text": "a", "score": 5, "note": None}
    assert list(passed) == ["text", "score", "note"]
    assert SkipRule(ScoreRow(skip_when="a")).passed({"a": True}) == {"a": True}


def test_an_output_that_is_an_input_by_another_name_stays_as_the_row_has_it() -> None:
    assert rule("a > 0", input_mappings={"score": "b"}).passed({"a": 1, "b": 2}) == {"a": 1, "b": 2, "note": None}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"score": None}, "skip_when: expression 'score > 3': .*column 'score' is None"),
        ({}, "skip_when: expression 'score > 3': .*column 'score' is missing"),
        ({"score": "5"}, "skip_when: expression 'score > 3': .*column 'score' holds a value of type str"),
    ],
)
def test_a_row_of_which_it_cannot_be_said_is_an_error_of_that_row(row: Row, said: str) -> None:
    with pytest.raises(RowError, match=said):
        rule("score > 3").skips(row)


@pytest.mark.parametrize("wrong", ["", "score >", "3 > 2", "x" * 10_001, True, 3])
def test_what_is_no_expression_over_columns_is_refused_when_the_step_is_built(wrong: Any) -> None:
    with pytest.raises(ValueError, match="skip_when"):
        Score(skip_when=wrong)


@given(batches)
def test_each_row_is_for_the_step_or_set_aside_in_its_place(fates: list[str]) -> None:
    whole = left(fates)
    assert whole.positions == tuple(place for place, fate in enumerate(fates) if fate == "run")
    assert [row["n"] for row in whole.inputs[0]] == list(whole.positions)
    assert set(whole.passed) == {place for place, fate in enumerate(fates) if fate == "skip"}
    assert set(whole.undecided) == {place for place, fate in enumerate(fates) if fate == "unclear"}
    assert whole.length == len(fates)
    assert whole.is_set_aside == (not whole.count and bool({"skip", "unclear"} & set(fates)))
    at = {place: row["n"] for place in range(len(fates)) if (row := whole.row_at(place)) is not None}
    assert at == {place: place for place, fate in enumerate(fates) if fate in ("skip", "run")}


@given(batches)
def test_a_batch_that_is_read_again_leaves_the_same_rows_to_the_step(fates: list[str]) -> None:
    whole = left(fates)
    for row in whole.inputs[0]:
        row["done"] = "changed by the step"
    assert set_aside_again(take_whole([batch(fates)]), whole) == left(fates)


def aside(whole: WholeRows) -> dict[int, Row | None]:
    """With `on_error: skip`."""
    return {**whole.passed, **dict.fromkeys(whole.undecided)}


@given(batches)
def test_rows_that_pass_by_return_to_their_places_in_an_output_of_the_same_length(fates: list[str]) -> None:
    whole = left(fates)
    made = [{"n": row["n"], "made": True} for row in whole.inputs[0]]
    behind = put_back(made, whole, aside(whole))
    assert [row and row["n"] for row in behind] == [
        place if fate in ("skip", "run") else None for place, fate in enumerate(fates)
    ]
    assert [bool(row and "made" in row) for row in behind] == [fate == "run" for fate in fates]
    assert put_between([[row] for row in made], whole, aside(whole)) == behind


@given(batches, st.integers(0, 20))
def test_rows_that_pass_by_end_an_output_of_another_length_in_their_order(fates: list[str], length: int) -> None:
    whole = left(fates)
    if length == whole.count:
        return
    made: list[Row | None] = [{"made": number} for number in range(length)]
    behind = put_back(made, whole, aside(whole))
    rows = [*made, *(whole.passed[place] for place in sorted(whole.passed))]
    assert behind == [*rows, *[None] * (len(fates) - whole.count - len(whole.passed))]


@given(batches, st.data())
def test_where_the_output_of_each_row_is_known_rows_keep_their_order_whatever_their_number(
    fates: list[str], data: st.DataObject
) -> None:
    whole = left(fates)
    numbers = data.draw(st.lists(st.integers(0, 3), min_size=whole.count, max_size=whole.count))
    made = [[{"n": row["n"]}] * number for row, number in zip(whole.inputs[0], numbers, strict=True)]
    of_row = dict(zip(whole.positions, numbers, strict=True)) | dict.fromkeys(whole.passed, 1)
    behind = put_between(made, whole, aside(whole))
    expected = [place for place in range(len(fates)) for _ in range(of_row.get(place, 0))]
    assert [row["n"] for row in behind if row is not None] == expected
    assert behind.count(None) == len(fates) - whole.count - len(whole.passed)
