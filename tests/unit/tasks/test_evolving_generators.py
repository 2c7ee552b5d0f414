"""Generators of instructions that are rewritten until their length fits."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import RowError
from common.steps.tasks import EvolInstructGenerator
from common.steps.tasks.evol_instruct_generator import MOST_TURNS
from tests.support.tasks.scripted import rows_of, scripted

OWN = {
    "mutation_templates": {"FRESH_START": "fresh <PROMPT>", "X": "rewrite <PROMPT>"},
    "min_length": 5,
    "max_length": 9,
}


def asked(replies: list[str], **parameters: Any) -> tuple[list[dict[str, Any]], list[str]]:
    task: Any = scripted(EvolInstructGenerator, replies, {**OWN, **parameters})
    rows = rows_of(task, {})
    return rows, [messages[-1]["content"] for messages in task.llm.asked]


def test_a_short_instruction_is_rewritten_and_a_long_one_begun_again() -> None:
    found = [asked(["abc", "abcdefghijkl", "abcdef"], seed=seed) for seed in range(20)]
    prompts = [each for _, each in found]
    assert all(rows[0]["instruction"] == "abcdef" for rows, _ in found)
    assert all(first.startswith("fresh ") and third.startswith("fresh ") for first, _, third in prompts)
    assert {second == "rewrite abc" for _, second, _ in prompts} == {True, False}  # FRESH_START is drawn as well
    assert len({first for first, _, _ in prompts}) > 10


def test_rows_draw_by_number_wherever_the_generator_begins() -> None:
    _, prompts = asked(["abcdef"], num_instructions=6)
    assert len(set(prompts)) == 6
    later: Any = scripted(EvolInstructGenerator, ["abcdef"], {**OWN, "num_rows": 6})
    later.load()
    rows = [row for batch, _ in later.process(offset=4) for row in batch]
    assert [messages[-1]["content"] for messages in later.llm.asked] == prompts[4:]
    assert [row.keys() for row in rows] == [{"instruction", "model_name", "distilabel_metadata"}] * 2


def test_a_row_whose_instructions_never_fit_fails_with_the_last_one() -> None:
    with pytest.raises(RowError, match=r"it has 3 characters, not 5 to 9.*the answer: abd"):
        asked(["abc", "abd"], on_error="fail")
    rows, prompts = asked(["abc", "abd"])
    assert rows[0]["instruction"] is None
    assert len(prompts) == MOST_TURNS


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"mutation_templates": {"X": "<PROMPT>"}}, "no template FRESH_START"), ({"min_length": 10}, "above max_length")],
)
def test_what_cannot_work_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        scripted(EvolInstructGenerator, "x", {**OWN, **wrong})
