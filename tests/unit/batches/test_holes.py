"""Rows that failed keep their place: what a step gets of a batch with holes, and where the holes return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import StepFailed, describe
from common.steps.base import Step, StepInput, StepOutput
from worker.batches.holes import put_back, take_whole
from worker.batches.outcome import FailedRow, Outcome, failed_output, give_up

MaybeRow = dict[str, Any] | None
columns = st.lists(st.booleans(), max_size=8)  # True: a row, False: a hole


def filled(name: str, places: Sequence[bool]) -> list[MaybeRow]:
    return [{name: place} if whole else None for place, whole in enumerate(places)]


def row(value: object) -> dict[str, Any]:
    return {"v": value}


# what a step gets


def test_without_holes_a_step_is_given_everything() -> None:
    whole = take_whole([[row(0), row(1)], [row(2)]])
    assert whole.inputs == ([row(0), row(1)], [row(2)])
    assert (whole.positions, whole.length, whole.lost, whole.count) == ((0, 1), 2, 0, 2)


def test_a_step_never_sees_a_hole() -> None:
    whole = take_whole([[row(0), None, row(2), None]])
    assert whole.inputs == ([row(0), row(2)],)
    assert (whole.positions, whole.length, whole.lost) == ((0, 2), 4, 0)


def test_a_join_is_given_the_places_that_are_whole_in_all_inputs_and_the_others_are_lost() -> None:
    whole = take_whole([[row(0), None, row(2), None], [row(10), row(11), None, None]])
    assert whole.inputs == ([row(0)], [row(10)])
    assert (whole.positions, whole.length, whole.lost) == ((0,), 4, 2)


def test_a_shorter_input_has_no_holes_where_it_does_not_reach() -> None:
    whole = take_whole([[row(0), row(1), row(2), None], [row(10), None]])
    assert whole.inputs == ([row(0), row(2)], [row(10)])
    assert (whole.positions, whole.length, whole.lost) == ((0, 2), 4, 1)
    assert not whole.aligned


@pytest.mark.parametrize("inputs", [[], [[]], [[], []], [[None, None]], [[None], [None, None]]], ids=repr)
def test_a_batch_without_a_whole_row_gives_nothing_and_loses_nothing(inputs: list[list[MaybeRow]]) -> None:
    whole = take_whole(inputs)
    assert not any(whole.inputs)
    assert (whole.count, whole.lost) == (0, 0)
    assert put_back([], whole) == [None] * whole.length


@given(st.lists(columns, min_size=1, max_size=3))
def test_every_place_is_given_or_lost_or_a_hole_in_all_inputs(shape: list[list[bool]]) -> None:
    inputs = [filled(f"in{number}", places) for number, places in enumerate(shape)]
    whole = take_whole(inputs)
    expected: list[int] = []
    lost = 0
    for place in range(max(map(len, shape))):
        reaching = [places[place] for places in shape if place < len(places)]
        if all(reaching):
            expected.append(place)
        elif any(reaching):
            lost += 1
    assert whole.positions == tuple(expected)
    assert whole.lost == lost
    for rows, given_rows in zip(inputs, whole.inputs, strict=True):
        assert given_rows == [rows[place] for place in expected if place < len(rows)]


@given(st.lists(columns, min_size=1, max_size=3))
def test_what_a_step_is_given_can_be_changed_without_a_trace_in_the_batch(shape: list[list[bool]]) -> None:
    inputs = [filled(f"in{number}", places) for number, places in enumerate(shape)]
    before = [list(rows) for rows in inputs]
    for rows in take_whole(inputs).inputs:
        rows.clear()
    assert inputs == before


# where holes return


@given(columns)
def test_holes_return_to_their_places_in_an_output_of_the_same_length(places: list[bool]) -> None:
    whole = take_whole([filled("v", places)])
    restored = put_back([{"out": given_row["v"]} for given_row in whole.inputs[0]], whole)
    assert restored == [{"out": place} if is_whole else None for place, is_whole in enumerate(places)]


@given(columns, st.integers(0, 12))
def test_holes_end_an_output_of_another_length(places: list[bool], length: int) -> None:
    whole = take_whole([filled("v", places)])
    if length == whole.count:
        return
    made: list[MaybeRow] = [row(number) for number in range(length)]
    assert put_back(made, whole) == made + [None] * places.count(False)


def test_a_row_that_failed_in_this_step_is_a_hole_among_those_from_before() -> None:
    whole = take_whole([[None, row(1), row(2), None]])
    assert put_back([None, row("two")], whole) == [None, None, row("two"), None]


@given(st.lists(columns, min_size=1, max_size=3), st.integers(0, 12))
def test_no_output_row_is_dropped_and_every_hole_is_kept(shape: list[list[bool]], length: int) -> None:
    whole = take_whole([filled(f"in{number}", places) for number, places in enumerate(shape)])
    made: list[MaybeRow] = [row(number) for number in range(length)]
    restored = put_back(made, whole)
    assert [one for one in restored if one is not None] == made
    assert restored.count(None) == whole.length - whole.count


# the outcome of the rows


class Answer(Step):
    """A step with one output, for its `on_error`."""

    @property
    def outputs(self) -> list[str]:
        return ["answer", "model"]

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs


def failed(place: int) -> FailedRow:
    return FailedRow(place, f"error {place}", 3, row(place))


def test_rows_keep_their_places_where_every_piece_kept_its_length() -> None:
    outcome = Outcome(4, [(2, [row(0), row(1)]), (1, [None]), (1, [row(3)])])
    assert outcome.rows() == [row(0), row(1), None, row(3)]


def test_rows_that_failed_end_an_output_whose_length_has_changed() -> None:
    outcome = Outcome(4, [(1, [None]), (2, [row(0), row("new"), row(1)]), (1, [None])])
    assert outcome.rows() == [row(0), row("new"), row(1), None, None]


def test_rows_do_not_keep_places_because_a_filter_and_an_expander_even_out() -> None:
    """Three rows in, three out, but not the same three: row i is not from row i."""
    outcome = Outcome(3, [(1, []), (1, [row(1), row("1b")]), (1, [None])])
    assert outcome.rows() == [row(1), row("1b"), None]
    shifted = Outcome(3, [(1, [None]), (1, []), (1, [row(2), row("2b")])])
    assert shifted.rows() == [row(2), row("2b"), None]


def test_a_failed_row_is_a_hole_by_default() -> None:
    step = Answer(name="answer")
    outcome = Outcome(2)
    give_up(step, outcome, [failed(0), failed(1)])
    assert outcome.rows() == [None, None]
    assert outcome.failed == [failed(0), failed(1)]


def test_nulls_gives_a_failed_row_its_outputs_as_none_under_their_mapped_names() -> None:
    step = Answer(name="answer", on_error="nulls", output_mappings={"answer": "reply"})
    assert failed_output(step, row(1)) == {"v": 1, "reply": None, "model": None}
    read_too = Answer(name="answer", on_error="nulls", input_mappings={"answer": "v"})
    assert failed_output(read_too, row(1)) == {"v": None, "model": None}
    outcome = Outcome(1)
    give_up(step, outcome, [failed(7)])
    assert outcome.rows() == [{"v": 7, "reply": None, "model": None}]
    assert outcome.failed == [failed(7)]  # it counts as failed


def test_fail_says_the_first_error_and_keeps_nothing() -> None:
    step = Answer(name="answer", on_error="fail")
    outcome = Outcome(2)
    with pytest.raises(StepFailed, match="error 4"):
        give_up(step, outcome, [failed(4), failed(5)])
    assert not outcome.pieces
    give_up(step, outcome, [])


def test_an_error_is_described_by_type_message_and_the_line_that_raised() -> None:
    try:
        int("seven")
    except ValueError as error:
        described = describe(error)
    assert described.startswith("ValueError: invalid literal")
    assert "test_holes.py:" in described
