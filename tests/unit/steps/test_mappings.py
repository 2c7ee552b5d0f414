"""Mappings: the step sees its own column names, the row keeps its own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.steps import KeepColumns, Step, StepInput, StepOutput
from common.steps.base import Row
from common.steps.mappings import (
    apply_input_mappings,
    apply_input_mappings_to_row,
    apply_output_mappings,
    apply_output_mappings_to_row,
)


class Uppercase(Step):
    """Writes `generation`, from `instruction`."""

    @property
    def inputs(self) -> list[str]:
        return ["instruction"]

    @property
    def outputs(self) -> list[str]:
        return ["generation"]

    def process(self, inputs: StepInput) -> StepOutput:
        yield [{**row, "generation": row["instruction"].upper()} for row in inputs]


class Strip(Step):
    """Changes `text` in place."""

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["text"]

    def process(self, inputs: StepInput) -> StepOutput:
        yield [{**row, "text": row["text"].strip()} for row in inputs]


def run(step: Step, rows: list[Row]) -> list[Row]:
    mapped, aside = apply_input_mappings(step, rows)
    return apply_output_mappings(step, [row for batch in step.process(mapped) for row in batch], aside)


def test_the_step_reads_the_mapped_column_and_the_row_keeps_its_name() -> None:
    step = Uppercase(name="s", input_mappings={"instruction": "text"}, output_mappings={"generation": "answer"})
    assert run(step, [{"id": 1, "text": "a"}]) == [{"id": 1, "text": "a", "answer": "A"}]


def test_a_column_with_the_steps_own_name_is_set_aside_and_comes_back() -> None:
    step = Uppercase(name="s", input_mappings={"instruction": "text"})
    row = {"instruction": "old", "text": "a"}
    mapped, aside = apply_input_mappings(step, [row])
    assert mapped == [{"instruction": "a"}]
    assert aside == [{"instruction": "old"}]
    assert run(step, [row]) == [{"instruction": "old", "text": "a", "generation": "A"}]


def test_without_mappings_the_rows_are_passed_on_as_they_are() -> None:
    step = Uppercase(name="s")
    rows = [{"instruction": "a"}]
    mapped, aside = apply_input_mappings(step, rows)
    assert mapped is rows
    assert aside is None
    assert apply_output_mappings(step, rows, aside) is rows


def test_a_column_changed_in_place_goes_back_to_the_column_it_came_from() -> None:
    step = Strip(name="s", input_mappings={"text": "body"})
    assert run(step, [{"body": " a ", "text": "title"}]) == [{"body": "a", "text": "title"}]


def test_a_column_read_and_written_under_two_mappings_leaves_its_source_alone() -> None:
    step = Strip(name="s", input_mappings={"text": "body"}, output_mappings={"text": "clean"})
    assert run(step, [{"body": " a "}]) == [{"body": " a ", "clean": "a"}]


def test_an_output_mapping_wins_over_a_column_that_is_there_already() -> None:
    step = Uppercase(name="s", output_mappings={"generation": "answer"})
    assert run(step, [{"instruction": "a", "answer": "old"}]) == [{"instruction": "a", "answer": "A"}]


def test_a_column_that_the_row_has_survives_a_step_that_writes_it_under_another_name() -> None:
    step = Uppercase(name="s", output_mappings={"generation": "answer"})
    row = {"generation": "older", "answer": "old", "instruction": "a"}
    assert run(step, [row]) == [{"generation": "older", "answer": "A", "instruction": "a"}]
    clean = Strip(name="s", output_mappings={"text": "clean"})
    assert run(clean, [{"text": " a "}]) == [{"text": " a ", "clean": "a"}]


def test_a_step_that_drops_columns_renames_what_it_keeps() -> None:
    step = KeepColumns(name="s", columns=["text"], output_mappings={"text": "clean"})
    assert run(step, [{"text": "a", "more": 1}]) == [{"clean": "a"}]


def test_an_output_may_replace_the_column_that_was_read() -> None:
    step = Uppercase(name="s", input_mappings={"instruction": "text"}, output_mappings={"generation": "text"})
    assert run(step, [{"text": "a"}]) == [{"text": "A"}]


def test_what_the_step_writes_wins_over_what_was_set_aside() -> None:
    step = Uppercase(name="s", input_mappings={"instruction": "text"}, output_mappings={"generation": "instruction"})
    assert run(step, [{"instruction": "old", "text": "a"}]) == [{"instruction": "A", "text": "a"}]


def test_an_unmapped_output_wins_over_a_source_of_the_same_name() -> None:
    step = Uppercase(name="s", input_mappings={"instruction": "generation"})
    assert run(step, [{"generation": "a"}]) == [{"generation": "A"}]
    aside: list[Row] = [{}]
    assert apply_output_mappings(step, [{"generation": "A", "instruction": "a"}], aside) == [{"generation": "A"}]


def test_rows_that_were_filtered_get_their_names_back_but_nothing_that_was_set_aside() -> None:
    step = Uppercase(name="s", input_mappings={"instruction": "text"})
    _, aside = apply_input_mappings(step, [{"instruction": "1", "text": "a"}, {"instruction": "2", "text": "b"}])
    assert apply_output_mappings(step, [{"instruction": "b"}], aside) == [{"text": "b"}]


def test_each_row_that_comes_from_one_row_gets_back_what_that_row_had_set_aside() -> None:
    step = Uppercase(name="s", input_mappings={"instruction": "text"})
    mapped, aside = apply_input_mappings_to_row(step, {"instruction": "old", "text": "a"})
    expanded = [{**mapped, "generation": str(number)} for number in range(2)]
    assert [apply_output_mappings_to_row(step, row, aside) for row in expanded] == [
        {"instruction": "old", "text": "a", "generation": "0"},
        {"instruction": "old", "text": "a", "generation": "1"},
    ]


columns = st.sampled_from(["a", "b", "instruction", "generation", "e"])
rows = st.lists(st.dictionaries(columns, st.integers()), max_size=4)


@given(rows=rows, mappings=st.dictionaries(columns, columns))
def test_a_step_that_changes_nothing_gives_back_the_rows_that_it_took(
    rows: list[Row], mappings: dict[str, str]
) -> None:
    step = Uppercase(name="s", input_mappings=mappings)
    before = copy.deepcopy(rows)
    mapped, aside = apply_input_mappings(step, rows)
    assert apply_output_mappings(step, mapped, aside) == before
    assert rows == before


@given(row=st.dictionaries(columns, st.integers()), mappings=st.dictionaries(columns, columns))
def test_the_step_sees_exactly_the_sources_and_the_columns_that_no_mapping_names(
    row: Row, mappings: dict[str, str]
) -> None:
    mapped, _ = apply_input_mappings_to_row(Uppercase(name="s", input_mappings=mappings), row)
    expected: dict[str, Any] = {name: value for name, value in row.items() if name not in mappings.values()}
    expected = {name: value for name, value in expected.items() if name not in mappings}
    expected |= {name: row[source] for name, source in mappings.items() if source in row}
    assert mapped == expected


@given(
    row=st.dictionaries(columns, st.integers(), min_size=1),
    source=st.none() | columns,
    target=st.none() | st.sampled_from("abcdefg"),
)
def test_the_columns_that_leave_a_step_are_those_that_it_declares(
    row: Row, source: str | None, target: str | None
) -> None:
    step = Uppercase(
        name="s",
        input_mappings={"instruction": source} if source else {},
        output_mappings={"generation": target} if target else {},
    )
    row = {**dict.fromkeys(row, "text"), source or "instruction": "text"}
    (made,) = run(step, [row])
    assert set(made) == step.output_columns(set(row))


@pytest.mark.parametrize("rows", [[], [{}]])
def test_no_rows_and_empty_rows_are_rows_too(rows: list[Row]) -> None:
    step = Uppercase(name="s", input_mappings={"instruction": "text"}, output_mappings={"generation": "answer"})
    mapped, aside = apply_input_mappings(step, rows)
    assert apply_output_mappings(step, mapped, aside) == rows
