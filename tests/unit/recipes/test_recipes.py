"""Each recipe gives the rows that its description promises, with the models that its comments name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coordinator.recipes.recipe import NAMES, SPEC, Recipe
from tests.support.in_process import rows_of
from tests.support.recipe_models import MODELS, endpoint_of
from tests.support.servers.chat_server import serving
from tests.support.servers.on_a_thread import on_a_thread

STAND_IN = re.compile(
    r"^(?P<pad> +)type: EchoLLM.*\n(?:(?P=pad)(?!#).*\n)*(?P<lines>(?:(?P=pad)# .*\n)+)", re.MULTILINE
)
"""A stand-in, and the commented lines for a real model below it."""
Rows = list[dict[str, Any]]


def with_real_models(spec: str) -> str:
    """The spec after its user has done what the comments say."""
    return STAND_IN.sub(lambda found: found["lines"].replace("# ", "", found["lines"].count("\n")), spec)


def check_sft(rows: Rows) -> None:
    assert {row["topic"] for row in rows}.isdisjoint({"the causes of the First World War", "the phases of the moon"})
    assert len(rows) == 36
    assert all(row["helpful"] == 5 and row["correct"] == 4 and row["response_model"] == "my-model" for row in rows)
    said = "Tell me about the tides."
    assert rows[0]["instruction"] == said
    assert rows[0]["messages"] == [
        {"role": "user", "content": said},
        {"role": "assistant", "content": f"Here you are: {said}"},
    ]


def check_dpo(rows: Rows) -> None:
    assert len(rows) == 19
    assert all(row["chosen"][-1]["content"] == "From my-model." for row in rows)
    assert all(row["rejected"][-1]["content"] == "From my-other-model." for row in rows)
    assert {(row["chosen_model"], row["rejected_model"]) for row in rows} == {("my-model", "my-other-model")}


def check_ultrafeedback(rows: Rows) -> None:
    assert len(rows) == 19
    assert {(row["chosen_model"], row["rejected_model"]) for row in rows} == {("my-model", "my-small-model")}
    assert all(row["ratings"] == [5, 4, 1] and row["rejected_rating"] == 1 for row in rows)


def check_magpie(rows: Rows) -> None:
    assert [row["instruction"] for row in rows] == [f"Asked of you: {row['system_prompt']}" for row in rows]
    assert len({row["system_prompt"] for row in rows}) == len(rows) == 12
    assert {row["response"] for row in rows} == {"Answered."}


def check_evol(rows: Rows) -> None:
    assert len(rows) == 24
    first, second = (row["messages"][0]["content"] for row in rows[:2])
    assert (first, second) == (f"{rows[0]['instruction']} Why?", f"{rows[0]['instruction']} Why? Why?")
    assert rows[1]["messages"][1]["content"] == f"An answer to: {second}"


def check_qa(rows: Rows) -> None:
    assert [row["question"] for row in rows] == ["Question 1?", "Question 2?"] * 6
    assert {(row["answer"], row["supported"]) for row in rows} == {("As the text says.", 5)}


def check_retrieval(rows: Rows) -> None:
    assert len(rows) == 22
    assert rows[0]["positive"] == "what of a penstock is"
    assert {row["negative"] for row in rows} == {"what of rust"}


def check_extraction(rows: Rows) -> None:
    found = {row["id"]: row["order"] for row in rows}
    assert found == {
        1: "48213",
        2: None,
        3: None,
        4: "2026-0091",
        6: "00341",
        8: "48301",
        9: "2026-0107",
        10: "47755",
        12: None,
    }
    assert [row["id"] for row in rows if row["is_urgent"]] == [2]


CHECKS: dict[str, Callable[[Rows], None]] = {
    "sft": check_sft,
    "dpo": check_dpo,
    "ultrafeedback": check_ultrafeedback,
    "magpie": check_magpie,
    "evol": check_evol,
    "qa": check_qa,
    "retrieval": check_retrieval,
    "extraction": check_extraction,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_makes_what_it_says_with_the_models_that_its_comments_name(name: str, tmp_path: Path) -> None:
    Recipe.named(name).write(tmp_path)
    spec = tmp_path / SPEC
    changed = with_real_models(spec.read_text())
    assert "EchoLLM" not in changed
    with on_a_thread(serving(endpoint_of(MODELS[name]))) as server:
        spec.write_text(changed.replace("http://127.0.0.1:8000/v1", server.url))
        rows = rows_of(spec)
    CHECKS[name](rows)
