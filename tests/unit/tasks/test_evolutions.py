"""Instructions and responses that are rewritten: what is drawn, whose templates, and what comes of several times."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from common.errors import RowError
from common.steps.tasks import EvolComplexity, EvolInstruct, EvolQuality
from common.steps.tasks.asker import PromptError
from tests.support.tasks.scripted import rows_of, scripted

ROW = {"instruction": "Name a star.", "response": "Vega."}


def asked(cls: Any, row: dict[str, Any], reply: str, **parameters: Any) -> list[str]:
    task: Any = scripted(cls, reply, {"num_evolutions": 1, **parameters})
    rows_of(task, row)
    return [messages[-1]["content"] for messages in task.llm.asked]


@pytest.mark.parametrize("cls", [EvolInstruct, EvolComplexity])
def test_each_row_draws_its_templates_by_seed_and_by_what_it_holds(cls: Any) -> None:
    names = {name: f"{name} <PROMPT>" for name in "abcd"}
    drawn = [
        asked(cls, {**ROW, "n": n}, "new", mutation_templates=names, seed=seed)[0][0]
        for seed in (1, 2)
        for n in range(40)
    ]
    assert min(Counter(drawn).values()) > 8
    assert drawn[:40] != drawn[40:]
    assert drawn[0] == asked(cls, {"n": 0, **ROW}, "new", mutation_templates=names, seed=1)[0][0]


def test_generations_evolve_by_themselves() -> None:
    names = {name: f"{name} <PROMPT>" for name in "abcdefgh"}
    prompts = asked(EvolInstruct, ROW, "new", mutation_templates=names, num_generations=8)
    assert len(set(prompts)) > 1


def test_a_template_of_distilabel_is_read_as_it_asks() -> None:
    own = {"num_evolutions": 1, "mutation_templates": {"X": "#Given Prompt#:\n<PROMPT>\n#Rewritten Prompt#:\n"}}
    task = scripted(EvolInstruct, "Sure. #Rewritten Prompt#:\nName two.", own)
    assert rows_of(task, ROW)[0]["evolved_instruction"] == "Name two."
    bare = scripted(EvolInstruct, " Name two. ", own)
    assert rows_of(bare, ROW)[0]["evolved_instruction"] == "Name two."


def test_words_of_a_row_are_no_places_of_a_template() -> None:
    template = {"X": "<PROMPT> and <RESPONSE>"}
    row = {"instruction": "say <RESPONSE>", "response": "say <PROMPT>"}
    assert asked(EvolQuality, row, "new", mutation_templates=template) == ["say <RESPONSE> and say <PROMPT>"]


def test_each_time_rewrites_what_came_of_the_time_before() -> None:
    task: Any = scripted(
        EvolInstruct,
        ["b", "c", "answer"],
        {"num_evolutions": 2, "generate_answers": True, "mutation_templates": {"X": "<PROMPT>!"}},
    )
    (row,) = rows_of(task, ROW)
    assert [messages[-1]["content"] for messages in task.llm.asked] == ["Name a star.!", "b!", "c"]
    assert (row["evolved_instruction"], row["answer"]) == ("c", "answer")


def test_a_text_that_stays_as_it_was_is_no_evolution() -> None:
    task = scripted(EvolQuality, "Vega. ", {"num_evolutions": 1, "mutation_templates": {"X": "<PROMPT> <RESPONSE>"}})
    with pytest.raises(RowError, match="repeats the text"):
        rows_of(task, ROW)


def test_a_row_without_words_and_a_template_without_its_place_are_refused() -> None:
    task: Any = scripted(EvolInstruct, "x", {"num_evolutions": 1})
    with pytest.raises(PromptError, match="where words are expected"):
        rows_of(task, {"instruction": " "})
    assert not task.llm.asked
    for templates, says in (({}, "at least one"), ({"X": "<PROMPT>"}, "template 'X' has no <RESPONSE>")):
        with pytest.raises(ValueError, match=says):
            scripted(EvolQuality, "x", {"num_evolutions": 1, "mutation_templates": templates})
