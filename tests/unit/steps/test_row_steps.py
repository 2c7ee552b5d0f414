"""Steps that work on each row alone: what they make of it, and that they declare the columns that come out."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from common.errors import RowError
from common.steps import (
    ConversationTemplate,
    ExpandColumns,
    FilterRows,
    FormatChatGenerationDPO,
    FormatChatGenerationSFT,
    FormatTextGenerationDPO,
    FormatTextGenerationSFT,
    KeepColumns,
    MergeColumns,
    MinHashDedup,
    ParseColumns,
    TruncateTextColumn,
)
from common.steps.base import Row, Step
from worker.runners.attempts import call_step

PAIR = {"instruction": "q", "generations": ["a", "b"], "ratings": [1, 2]}
CHAT = {"messages": [{"role": "user", "content": "q"}], "generations": ["a", "b"], "ratings": [1, 2]}


def one(step: Step, row: Row) -> Row:
    """The row that comes out, after all mappings."""
    step.load()
    (made,) = call_step(step, [[row]])
    return made


@pytest.mark.parametrize(
    ("step", "row"),
    [
        (KeepColumns(columns=["b"]), {"a": 1, "b": 2}),
        (ExpandColumns(columns={"a": "x"}), {"a": [1], "b": 2}),
        (MergeColumns(columns=["a", "b"]), {"a": 1, "b": 2, "c": 3}),
        (MergeColumns(columns=["a", "b"], output_column="a"), {"a": 1, "b": 2, "c": 3}),
        (FilterRows(condition="a > 0"), {"a": 1, "b": 2}),
        (ParseColumns(columns={"n": {"as": "number"}}), {"generation": "1", "b": 2}),
        (ParseColumns(columns={"n": {"as": "number"}}, drop=True), {"generation": "1", "b": 2}),
        (TruncateTextColumn(), {"text": "t", "c": 3}),
        (ConversationTemplate(), {"instruction": "q", "response": "a"}),
        (FormatTextGenerationSFT(), {"instruction": "q", "generation": "a"}),
        (FormatChatGenerationSFT(), {"messages": CHAT["messages"], "generation": "a"}),
        (FormatTextGenerationDPO(), PAIR),
        (FormatTextGenerationDPO(), PAIR | {"generation_models": ["m", "n"]}),
        (FormatTextGenerationDPO(), PAIR | {"generation_models": None}),
        (FormatChatGenerationDPO(), CHAT | {"generation_models": ["m", "n"]}),
        (FormatChatGenerationDPO(), CHAT),
        (MinHashDedup(), {"text": "t", "c": 3}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Step) else "-".join(value),
)
@pytest.mark.parametrize("mapped", [False, True])
def test_the_columns_that_come_out_are_those_declared(step: Step, row: Row, mapped: bool) -> None:
    if mapped:  # the row has every column that the step reads under another name
        names = {column: f"my_{column}" for column in step.inputs if column in row}
        row = {names.get(column, column): value for column, value in row.items()}
        renamed = {column: f"new_{column}" for column in list(step.outputs)[:1]}
        step = step.model_copy(update={"input_mappings": names, "output_mappings": renamed})
    assert set(one(step, row)) == step.output_columns(set(row))


def test_columns_that_nobody_knows_stay_unknown() -> None:
    steps = [MergeColumns(columns=["a"]), FormatTextGenerationDPO(), TruncateTextColumn(), ConversationTemplate()]
    assert [step.output_columns(None) for step in steps] == [None] * 4


@pytest.mark.parametrize(
    ("row", "merged"),
    [
        ({"a": "x", "b": ["y", "z"]}, ["x", "y", "z"]),
        ({"a": [], "b": None}, [None]),
        ({"a": [[1], 2], "b": {"k": [3]}}, [[1], 2, {"k": [3]}]),
    ],
)
def test_merged_columns_are_one_list_of_all_their_elements(row: Row, merged: list[Any]) -> None:
    assert one(MergeColumns(columns=["a", "b"]), {"id": 7, **row}) == {"id": 7, "merged_column": merged}
    assert one(MergeColumns(columns=["b", "a"], output_column="a"), {"a": [1], "b": 2}) == {"a": [2, 1]}


def test_columns_to_merge_are_there_once_each() -> None:
    with pytest.raises(ValidationError, match="'a' is listed twice"):
        MergeColumns(columns=["a", "b", "a"])
    with pytest.raises(RowError, match="the row has no column 'b'; it has 'a'"):
        one(MergeColumns(columns=["a", "b"]), {"a": 1})


def test_no_rows_come_out_of_a_batch_without_rows() -> None:
    steps = [MergeColumns(columns=["a"]), TruncateTextColumn(), ConversationTemplate(), FormatTextGenerationDPO()]
    for step in [*steps, FormatTextGenerationSFT(), FormatChatGenerationSFT(), MinHashDedup()]:
        step.load()
        assert call_step(step, [[]]) == []
