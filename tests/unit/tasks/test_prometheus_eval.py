"""Results under a rubric: the form that Prometheus knows, both modes, and rubrics of one's own."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import RowError
from common.llms import EchoLLM
from common.steps.tasks import PrometheusEval
from common.steps.tasks.asker import PromptError
from common.steps.tasks.prometheus_eval import RUBRICS, rubric_of
from tests.support.tasks.scripted import rows_of, scripted

ROW = {"instruction": "Name a colour.", "generation": "Blue.", "generations": ["Pink.", "Red."], "reference": "Green."}
OWN = rubric_of("Is it short?", "no", "hardly", "so-so", "nearly", "yes")


def asked(reply: str, **parameters: Any) -> tuple[str, Any]:
    task: Any = scripted(PrometheusEval, reply, {"mode": "absolute", "rubric": "honesty", **parameters})
    [row] = rows_of(task, ROW)
    return task.llm.asked[0][-1]["content"], row["result"]


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("mode", ["absolute", "relative"])
def test_each_mode_shows_its_texts_under_the_labels_that_the_model_knows(mode: str, reference: bool) -> None:
    absolute = mode == "absolute"
    text, result = asked(f"So. [RESULT] {5 if absolute else 'A'}", mode=mode, reference=reference)
    assert result == (5 if absolute else "A")
    parts = text.split("###")[1:]
    labels = [part.partition(":")[0] for part in parts]
    answers = ["Response to evaluate"] if absolute else ["Response A", "Response B"]
    told = ["Reference Answer (Score 5)" if absolute else "Reference Answer"] if reference else []
    assert labels == [
        "Task Description",
        "The instruction to evaluate" if absolute else "Instruction",
        *answers,
        *told,
        "Score Rubrics" if absolute else "Score Rubric",
        "Feedback",
    ]
    texts = ["Blue."] if absolute else ["Pink.", "Red."]
    assert [parts[labels.index(label)].partition(":\n")[2].strip() for label in [*answers, *told]] == [
        *texts,
        *(["Green."] if reference else []),
    ]
    assert RUBRICS["honesty"] in text
    assert text.endswith("###Feedback: ")


@pytest.mark.parametrize(("said", "result"), [("B", "B"), (" (A)", "A"), ("Response B.", "B")])
def test_a_relative_result_is_one_of_the_two(said: str, result: str) -> None:
    assert asked(f"So. [RESULT] {said}", mode="relative")[1] == result


@pytest.mark.parametrize(
    ("mode", "said"),
    [("relative", "tie"), ("relative", "A or B"), ("relative", "4"), ("absolute", "A"), ("absolute", "0")],
)
def test_another_result_is_none(mode: str, said: str) -> None:
    with pytest.raises(RowError, match=r"is none of A and B|is not a whole number"):
        asked(f"So. [RESULT] {said}", mode=mode)


def test_two_results_are_none() -> None:
    with pytest.raises(RowError, match=r"\[RESULT\] is there 2 times where it is expected once"):
        asked("So. [RESULT] 4\nOr so. [RESULT] 4")


@pytest.mark.parametrize(("mode", "result"), [("absolute", 3), ("relative", "B")])
def test_a_model_with_forms_is_asked_for_json(mode: str, result: Any) -> None:
    said = '"B"' if result == "B" else result
    text, found = asked(f'{{"feedback": "So.", "result": {said}}}', mode=mode, use_default_structured_output=True)
    assert found == result
    assert "[RESULT]" not in text
    assert "###Feedback" not in text


def test_a_rubric_of_ones_own_is_sent_as_it_is() -> None:
    assert OWN in asked("So. [RESULT] 1", rubric="short", rubrics={"short": OWN})[0]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"rubric": "brevity"}, "there is no rubric 'brevity'; there are helpfulness"),
        ({"rubrics": {}}, "there are none"),
        ({"rubrics": {"honesty": "Is it honest?"}}, "rubric 'honesty' must be"),
        ({"rubrics": {"honesty": OWN.replace("[", "")}}, "must be"),
        ({"rubrics": {"honesty": OWN.replace("Score 5", "Score 6")}}, "must be"),
        ({"rubrics": {"honesty": OWN.replace(": hardly", ":")}}, "must be"),
        ({"mode": "both"}, "'absolute' or 'relative'"),
    ],
)
def test_parameters_that_cannot_work_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PrometheusEval(**{"llm": EchoLLM(), "mode": "absolute", "rubric": "honesty", **wrong})


@pytest.mark.parametrize(
    ("parameters", "row"),
    [
        ({"mode": "relative"}, {"generations": ["a"]}),
        ({"mode": "absolute"}, {"generation": ["a", "b"]}),
        ({"mode": "absolute", "reference": True}, {"reference": None}),
    ],
)
def test_a_row_that_cannot_be_judged_fails_and_nothing_is_asked(
    parameters: dict[str, Any], row: dict[str, Any]
) -> None:
    task: Any = scripted(PrometheusEval, "x", {"rubric": "honesty", **parameters})
    with pytest.raises(PromptError):
        rows_of(task, {**ROW, **row})
    assert not task.llm.asked
