"""SelfInstruct: as many instructions as were asked for, each of them once."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import RowError
from common.steps.tasks import SelfInstruct
from tests.support.tasks.scripted import rows_of, scripted


def instructions_in(reply: str, **parameters: Any) -> Any:
    [row] = rows_of(scripted(SelfInstruct, reply, {"num_instructions": 2, **parameters}), {"input": "Tides"})
    return row["instructions"]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("1. Go.\n2. GO.", "an instruction twice"),
        ('["Go.", "Stay."] or ["Come.", "Stay."]', "2 lists"),
        ("Go. Stay.", "no lists"),
        ('["Go.", "Stay.", "Come."]', "3 instructions where 2"),
    ],
)
def test_other_lists_fail_the_row(reply: str, said: str) -> None:
    with pytest.raises(RowError, match=said):
        instructions_in(reply)


def test_an_instruction_may_have_an_array_in_it() -> None:
    assert instructions_in('1. Sort ["b", "a"].\n2. Reverse it.') == ['Sort ["b", "a"].', "Reverse it."]


def test_the_prompt_has_what_the_parameters_say() -> None:
    given = {"criteria_for_query_generation": "Each rhymes.", "application_description": "A poet"}
    prompt = scripted(SelfInstruct, "", {"num_instructions": 3, **given}).format_input({"input": "Tides"})
    for part in ("3 instructions", "Each rhymes.", "A poet", "Tides"):
        assert part in prompt
