"""Formats for SFT and DPO: prompts, conversations, and the better and the worse of several generations."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import pytest

from common.errors import RowError
from common.steps import (
    ConversationTemplate,
    FormatChatGenerationDPO,
    FormatChatGenerationSFT,
    FormatTextGenerationDPO,
    FormatTextGenerationSFT,
)
from common.steps.base import Row, Step

USER = {"role": "user", "content": "Größe?"}
SYSTEM = {"role": "system", "content": "Be brief."}
PROMPT = {"prompt": "Größe?", "prompt_id": hashlib.sha256("Größe?".encode()).hexdigest()}
PAIR = {"instruction": "Größe?", "generations": ["a", "b", "c"], "ratings": [2, 5, 1]}


def formatted(step: Step, row: Row) -> Row:
    before = repr(row)
    ((made,),) = step.process([row])
    assert repr(row) == before, "the row that it was given is another one now"
    return made


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def test_a_conversation_is_an_instruction_and_a_response() -> None:
    row = formatted(ConversationTemplate(), {"instruction": "Größe?", "response": "ok", "id": 1})
    assert row == {"instruction": "Größe?", "response": "ok", "id": 1, "conversation": [USER, said("ok")]}
    with pytest.raises(RowError, match="column 'response' holds None where text is expected"):
        formatted(ConversationTemplate(), {"instruction": "x", "response": None})


@pytest.mark.parametrize(
    ("system", "first"),
    [({}, []), ({"system_prompt": None}, []), ({"system_prompt": ""}, []), ({"system_prompt": "Be brief."}, [SYSTEM])],
)
def test_sft_of_text_is_a_conversation_that_begins_with_a_system_prompt_if_there_is_one(
    system: Row, first: list[Row]
) -> None:
    row = {"instruction": "Größe?", "generation": "ok", **system}
    assert formatted(FormatTextGenerationSFT(), row) == {**row, **PROMPT, "messages": [*first, USER, said("ok")]}


def test_sft_of_a_chat_is_the_chat_with_its_answer_and_the_first_message_of_the_user_as_prompt() -> None:
    chat = [SYSTEM, USER, said("which?"), {"role": "user", "content": "both"}]
    row = formatted(FormatChatGenerationSFT(), {"messages": chat, "generation": "ok"})
    assert row == {"generation": "ok", **PROMPT, "messages": [*chat, said("ok")]}


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"messages": None}, "column 'messages' holds None where a list is expected"),
        ({"messages": []}, "column 'messages' has no user message"),
        ({"messages": [SYSTEM]}, "column 'messages' has no user message"),
        ({"messages": [USER, "hi"]}, r"messages\[1\] must be a mapping with 'role' and 'content', not a value of type"),
        ({"messages": [{"role": "user"}]}, r"messages\[0\] must be a mapping with 'role' and 'content'"),
        ({"messages": [{"role": "user", "content": [1]}]}, "a value of type list as the first user message"),
        ({"generation": None}, "column 'generation' holds None where text is expected"),
        ({"generation": 7}, "column 'generation' holds a value of type int where text is expected"),
    ],
)
def test_a_chat_that_is_none_fails_with_the_place(changed: Row, error: str) -> None:
    with pytest.raises(RowError, match=error):
        formatted(FormatChatGenerationSFT(), {"messages": [USER], "generation": "ok"} | changed)


def test_dpo_of_text_is_the_best_and_the_worst_generation_with_their_ratings() -> None:
    row = PAIR | {"system_prompt": "Be brief."}
    assert formatted(FormatTextGenerationDPO(), row) == {
        **row,
        **PROMPT,
        "chosen": [SYSTEM, USER, said("b")],
        "chosen_rating": 5,
        "rejected": [SYSTEM, USER, said("c")],
        "rejected_rating": 1,
    }


def test_dpo_of_a_chat_goes_on_with_the_chat() -> None:
    chat = [SYSTEM, USER, said("which?"), {"role": "user", "content": "both"}]
    row = formatted(FormatChatGenerationDPO(), {"messages": chat, "generations": ["a", "b"], "ratings": [1, 2]})
    assert (row["prompt"], row["chosen"], row["rejected"]) == ("Größe?", [*chat, said("b")], [*chat, said("a")])
    assert row["messages"] == chat


def test_the_models_of_both_sides_are_beside_them_where_they_are_known() -> None:
    row = formatted(FormatTextGenerationDPO(), PAIR | {"generation_models": ["m0", "m1", None]})
    assert (row["chosen_model"], row["rejected_model"]) == ("m1", None)
    row = formatted(FormatTextGenerationDPO(), PAIR | {"generation_models": None})
    assert (row["chosen_model"], row["rejected_model"]) == (None, None)
    assert "chosen_model" not in formatted(FormatTextGenerationDPO(), PAIR)


@pytest.mark.parametrize(
    ("ratings", "chosen", "rejected"),
    [
        ([3, 3, 3], "a", "b"),
        ([1, 3, 3], "b", "a"),
        ([3, 1, 1], "a", "b"),
        ([1, 1, 3], "c", "a"),
        ([None, 2, 1], "b", "c"),
        ([5, math.nan, 4.5], "a", "c"),
    ],
)
def test_of_equal_ratings_the_first_counts_and_the_two_sides_differ(
    ratings: list[Any], chosen: str, rejected: str
) -> None:
    row = formatted(FormatTextGenerationDPO(), PAIR | {"ratings": ratings})
    assert (row["chosen"][-1]["content"], row["rejected"][-1]["content"]) == (chosen, rejected)


def test_a_generation_that_is_none_is_passed_over_whatever_its_rating() -> None:
    row = formatted(FormatTextGenerationDPO(), PAIR | {"generations": ["a", None, "c"]})
    assert (row["chosen"][-1]["content"], row["rejected"][-1]["content"]) == ("a", "c")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"ratings": [1, 2]}, "column 'ratings' has 2 elements for 3 generations; give one for each, None where"),
        ({"generation_models": ["m"]}, "column 'generation_models' has 1 elements for 3 generations"),
        ({"ratings": None}, "column 'ratings' holds None where a list is expected"),
        ({"ratings": [1, "2", 3]}, r"ratings\[1\] holds a value of type str"),
        ({"generations": ["a", 2, "c"]}, r"generations\[1\] holds a value of type int"),
        ({"generations": [], "ratings": []}, "a pair needs two generations with a rating, but the row has 0"),
        ({"ratings": [None, 4, None]}, "a pair needs two generations with a rating, but the row has 1"),
        ({"instruction": None}, "column 'instruction' holds None where text is expected"),
        ({"system_prompt": 3}, "column 'system_prompt' holds a value of type int where text is expected"),
    ],
)
def test_a_row_without_a_pair_fails_with_the_reason(changed: Row, error: str) -> None:
    with pytest.raises(RowError, match=error):
        formatted(FormatTextGenerationDPO(), PAIR | changed)


def test_a_column_that_is_missing_is_named() -> None:
    with pytest.raises(RowError, match="the row has no column 'generations'; it has 'instruction', 'ratings'"):
        formatted(FormatTextGenerationDPO(), {"instruction": "x", "ratings": [1]})


@pytest.mark.parametrize("blank", ["", "  \n "])
@pytest.mark.parametrize(
    ("step", "row", "column"),
    [
        (ConversationTemplate(), {"instruction": "a", "response": "b"}, "instruction"),
        (ConversationTemplate(), {"instruction": "a", "response": "b"}, "response"),
        (FormatTextGenerationSFT(), {"instruction": "a", "generation": "b"}, "instruction"),
        (FormatTextGenerationSFT(), {"instruction": "a", "generation": "b"}, "generation"),
        (FormatChatGenerationSFT(), {"messages": [USER], "generation": "b"}, "generation"),
        (FormatTextGenerationDPO(), PAIR, "instruction"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_text_without_words_is_no_training_row(step: Step, row: Row, column: str, blank: str) -> None:
    with pytest.raises(RowError, match=f"column '{column}' holds (an empty text|nothing but white space)"):
        formatted(step, row | {column: blank})


@pytest.mark.parametrize("step", [FormatTextGenerationDPO(), FormatChatGenerationDPO()], ids=repr)
def test_a_generation_or_a_message_without_words_is_no_side_of_a_pair(step: Step) -> None:
    row = PAIR | {"messages": [USER]}
    with pytest.raises(RowError, match=r"generations\[1\] holds an empty text"):
        formatted(step, row | {"generations": ["a", "", "c"]})
    if isinstance(step, FormatChatGenerationDPO):
        with pytest.raises(RowError, match=r"messages\[1\] holds nothing but white space"):
            formatted(step, row | {"messages": [USER, said(" ")]})


def test_a_blank_system_prompt_is_none() -> None:
    row = formatted(FormatTextGenerationSFT(), {"instruction": "a", "generation": "b", "system_prompt": " "})
    assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
