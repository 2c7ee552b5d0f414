"""A judge: what it is shown, what its scores are good for, and what comes of two orders of a pair."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest

from common.errors import RowError
from common.llms import EchoLLM
from common.steps import FilterRows
from common.steps.formatting.preferences import FormatTextGenerationDPO
from common.steps.metadata import METADATA
from common.steps.tasks import Judge
from common.steps.tasks.asker import PromptError
from tests.support.tasks.scripted import rows_of, scripted

ROW = {"instruction": "Name a colour.", "generation": "Blue.", "generations": ["Blue.", "Bleu."]}
SCORED: dict[str, Any] = {
    "criteria": {
        "helpful": "Does it help?",
        "Short_1": {"description": "Is it brief?", "scale": [-1, 1], "meanings": ["long", "so-so", "one word"]},
    }
}
COMPARED: dict[str, Any] = {"criteria": {"helpful": "Does it help?", "short": "Is it brief?"}, "compare": True}


def scores(helpful: Any, short: Any) -> str:
    return f"<explanation>why</explanation><helpful>{helpful}</helpful><short_1>{short}</short_1>"


def verdict(helpful: str, short: str = "tie") -> str:
    return f"<explanation>{helpful}{short}</explanation><helpful>{helpful}</helpful><short>{short}</short>"


def test_scores_are_columns_that_an_expression_filters_by() -> None:
    rows = [rows_of(scripted(Judge, scores(n, 0), SCORED), ROW)[0] for n in range(1, 6)]
    [kept] = FilterRows(name="good", condition="helpful >= 4 and Short_1 == 0").process(rows)
    assert [row["helpful"] for row in kept] == [4, 5]
    assert {name: kept[0][name] for name in ("Short_1", "explanation")} == {"Short_1": 0, "explanation": "why"}


def test_the_judge_is_shown_its_columns_and_criteria_under_its_own_system_prompt() -> None:
    row = {**ROW, "system_prompt": "You are a poet.", "facts": {"wavelength": 450}}
    task: Any = scripted(Judge, scores(4, 1), {**SCORED, "columns": ["facts", "generation"]})
    assert task.inputs == ["facts", "generation"]
    rows_of(task, row)
    system, asked = (message["content"] for message in task.llm.asked[0])
    assert system.startswith("You are a fair and strict judge")
    assert asked == (
        "Judge the last part below, generation, in view of the others. The criteria:\n"
        "- helpful, a whole number from 1 to 5: Does it help?\n"
        "- Short_1, a whole number from -1 to 1: Is it brief?\n"
        "  -1: long\n"
        "  0: so-so\n"
        "  1: one word\n\n"
        '<facts>\n{\n  "wavelength": 450\n}\n</facts>\n\n'
        "<generation>\nBlue.\n</generation>\n\n"
        "Reply in this form, with nothing before or after it:\n"
        "<explanation>your reasons, in a few sentences</explanation>\n"
        "<helpful>a whole number from 1 to 5</helpful>\n"
        "<Short_1>a whole number from -1 to 1</Short_1>"
    )


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (scores(6, 0), "helpful: '6' is not a whole number from 1 to 5"),
        (scores(3, 2), "Short_1: '2' is not a whole number from -1 to 1"),
        (scores("4/10", 0), "helpful: '4/10'"),
        (scores(3, 0).replace("why", " "), "<explanation> has no words"),
        ('{"explanation": "why", "helpful": 3}', "no key Short_1"),
        ('{"explanation": 1, "helpful": 3, "short_1": 0}', "the explanation holds"),
    ],
)
def test_a_score_that_is_off_or_missing_fails_the_row(reply: str, says: str) -> None:
    with pytest.raises(RowError, match=says):
        rows_of(scripted(Judge, reply, SCORED), ROW)


@pytest.mark.parametrize("compare", [False, True])
def test_a_model_with_forms_is_asked_for_json(compare: bool) -> None:
    said = {"explanation": "why", "helpful": "A", "short": "tie"} if compare else None
    reply = orjson.dumps(said or {"explanation": "why", "helpful": 4, "Short_1": -1}).decode()
    parameters = {**(COMPARED if compare else SCORED), "use_default_structured_output": True}
    task: Any = scripted(Judge, reply, parameters)
    [row] = rows_of(task, ROW)
    assert row["helpful"] == ("tie" if compare else 4)
    assert "Reply with one JSON object and nothing else. Its keys:\n" in task.llm.asked[0][-1]["content"]
    wrong = reply.replace('"A"', '"C"').replace("4", "6")
    with pytest.raises(RowError, match="has the wrong form"):
        rows_of(scripted(Judge, wrong, parameters), ROW)


def test_meanings_make_a_scale() -> None:
    task: Any = scripted(Judge, scores(3, 0), {"criteria": {"helpful": {"description": "x", "meanings": list("abc")}}})
    assert rows_of(task, ROW)[0]["helpful"] == 3
    with pytest.raises(RowError, match="'4' is not a whole number from 1 to 3"):
        rows_of(scripted(Judge, scores(4, 0), {"criteria": task.criteria}), ROW)


# pairs


def test_both_orders_are_asked_and_a_win_needs_both() -> None:
    task: Any = scripted(Judge, [verdict("A", "B"), verdict("B", "B")], COMPARED)
    [row] = rows_of(task, ROW)
    given, swapped = (messages[-1]["content"] for messages in task.llm.asked)
    assert given.index("Blue.") < given.index("Bleu.")
    assert swapped.index("Bleu.") < swapped.index("Blue.")
    assert given.replace("Blue.", "Bleu.") == swapped.replace("Blue.", "Bleu.")
    assert {name: row[name] for name in task.outputs[:6]} == {
        "helpful": "first",
        "helpful_verdicts": ["first", "first"],
        "short": "tie",
        "short_verdicts": ["second", "first"],
        "explanations": ["AB", "BB"],
        "ratings": [1.5, 0.5],
    }
    assert row[METADATA]["raw_output_task"] == [verdict("A", "B"), verdict("B", "B")]
    assert row[METADATA]["statistics_task"] == {"input_tokens": 2, "output_tokens": 2}


@pytest.mark.parametrize(("given", "swapped"), list(itertools.product(["A", "B", "tie"], repeat=2)))
def test_a_verdict_of_one_order_alone_is_a_tie(given: str, swapped: str) -> None:
    [row] = rows_of(scripted(Judge, [verdict(given), verdict(swapped)], COMPARED), ROW)
    winner = {("A", "B"): "first", ("B", "A"): "second"}.get((given, swapped), "tie")
    assert row["helpful"] == winner
    assert row["ratings"] == {"first": [1.5, 0.5], "second": [0.5, 1.5], "tie": [1.0, 1.0]}[winner]


def test_the_winner_becomes_the_chosen_text_of_a_pair() -> None:
    rows = rows_of(scripted(Judge, [verdict("B"), verdict("A")], COMPARED), ROW)
    rows += rows_of(scripted(Judge, verdict("A"), COMPARED), ROW)
    [decided] = FilterRows(name="decided", condition="helpful != 'tie'").process(rows)
    [[pair]] = FormatTextGenerationDPO(name="pairs").process(decided)
    assert (pair["chosen"][-1]["content"], pair["rejected"][-1]["content"]) == ("Bleu.", "Blue.")


@pytest.mark.parametrize("said", ["A and B", "C", "", "a tie", "neither", "1", "AB"])
def test_no_winner_is_guessed(said: str) -> None:
    with pytest.raises(RowError, match=r"none of A, B and tie|has no words"):
        rows_of(scripted(Judge, verdict(said), COMPARED), ROW)


@pytest.mark.parametrize("said", ["A", "a", "**A**", "Text A", "response a.", "[A]", " A\r\n"])
def test_a_verdict_may_be_decorated(said: str) -> None:
    assert rows_of(scripted(Judge, [verdict(said), verdict("B")], COMPARED), ROW)[0]["helpful"] == "first"


def test_several_generations_of_verdicts_are_rows() -> None:
    task = scripted(Judge, [verdict("A"), verdict("B"), verdict("A"), verdict("B")], {**COMPARED, "num_generations": 2})
    assert [row["helpful"] for row in rows_of(task, ROW)] == ["first", "first"]


def test_texts_alone_can_be_compared() -> None:
    task: Any = scripted(Judge, verdict("A"), {**COMPARED, "columns": []})
    assert task.inputs == ["generations"]
    rows_of(task, {"generations": ["x", "y"]})
    assert "in view of" not in task.llm.asked[0][-1]["content"]


# what is refused


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"criteria": {}}, "give at least one criterion"),
        ({"criteria": {"is good": "x"}}, "'is good' cannot be a column in an expression"),
        ({"criteria": {"good": "x", "Good": "y"}}, "'Good' and 'good' are one name to a model"),
        ({"criteria": {"good": {"description": "x", "scale": [5, 1]}}}, "the lowest score, 5, must be below"),
        (
            {"criteria": {"good": {"description": "x", "scale": [1, 3], "meanings": ["a", "b"]}}},
            "2 for 3 scores, 1 to 3",
        ),
        ({"criteria": {"good": {"description": "x", "meanings": ["a"]}}}, "the lowest score, 1, must be below"),
        ({"criteria": {"good": {"description": "x", "weight": 1}}}, "has no parameter 'criteria.good.weight'"),
        ({"criteria": {"explanation": "x"}}, "column 'explanation' is there twice"),
        ({"criteria": {"instruction": "x"}}, "column 'instruction' is there twice"),
        ({"criteria": {"model_name": "x"}}, "column 'model_name' is there twice"),
        ({"criteria": {"why": "x"}, "add_reasoning": "why"}, "column 'why' is there twice"),
        ({"criteria": {"a": "x", "a_verdicts": "y"}, "compare": True}, "column 'a_verdicts' is there twice"),
        ({"criteria": {"good": "x"}, "columns": []}, "name at least the column that is judged"),
        ({"criteria": {"good": "x"}, "compare": True, "columns": ["generations"]}, "'generations' is there twice"),
    ],
)
def test_parameters_that_cannot_work_are_refused(parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Judge(llm=EchoLLM(), **parameters)


@pytest.mark.parametrize(
    ("parameters", "row", "says"),
    [
        (SCORED, {"generation": " "}, "column 'generation' holds nothing but white space"),
        (SCORED, {"generation": None}, "column 'generation' holds None"),
        (SCORED, {"instruction": object()}, "holds a value of type object, which cannot be shown"),
        (COMPARED, {"generations": ["x"]}, "holds 1 texts where 2 are expected"),
        (COMPARED, {"generations": ["x", "y", "z"]}, "holds 3 texts where 2 are expected"),
    ],
)
def test_a_row_that_cannot_be_judged_fails_and_nothing_is_asked(
    parameters: dict[str, Any], row: dict[str, Any], says: str
) -> None:
    task: Any = scripted(Judge, scores(4, 0), parameters)
    with pytest.raises(PromptError, match=says):
        rows_of(task, {**ROW, **row})
    assert not task.llm.asked
