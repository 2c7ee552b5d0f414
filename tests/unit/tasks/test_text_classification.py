"""TextClassification: labels that are available are read as such, and no other ones."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RowError
from common.steps.tasks.labels import Labels
from common.steps.tasks.text_classification import TextClassification
from tests.support.tasks.scripted import rows_of, scripted

COLOURS = ["red", "deep blue", "green"]


def labels_of(reply: str, **parameters: Any) -> Any:
    [row] = rows_of(scripted(TextClassification, reply, parameters), {"text": "a text"})
    return row["labels"]


def prompt_of(**parameters: Any) -> str:
    task = scripted(TextClassification, "", parameters)
    made = task.format_input({"text": "The sky."})
    assert isinstance(made, str)
    return made


@pytest.mark.parametrize(
    ("reply", "labels"),
    [
        ('{"labels": ["Red", "deep_blue"]}', ["red", "deep blue"]),
        ('{"labels": "unknown"}', ["unknown"]),
        ('{"label": ["unknown"]}', ["unknown"]),
        ('The labels are ["green", "red"].', ["green", "red"]),
        ("unknown", ["unknown"]),
    ],
)
def test_several_labels_are_a_list_and_the_default_stands_alone(reply: str, labels: list[str]) -> None:
    assert labels_of(reply, n=2, available_labels=COLOURS, default_label="unknown") == labels


@pytest.mark.parametrize(
    "reply",
    [
        '{"labels": ["red"]}',
        '{"labels": ["red", "RED"]}',
        '{"labels": ["red", "unknown"]}',
        '{"labels": ["red", "pink"]}',
        '{"labels": ["red", 1]}',
        '{"labels": []}',
        '{"labels": ["red", "green"], "label": ["red", "green"]}',
        '["red", "green"] or {"colour": ["blue"]}',
        '["red", "green"] or ["green", "deep blue"]',
        "red, green",
    ],
)
def test_labels_that_are_not_the_right_number_of_available_ones_fail_the_row(reply: str) -> None:
    with pytest.raises(RowError):
        labels_of(reply, n=2, available_labels=COLOURS, default_label=["unknown"])


def test_without_a_default_a_list_without_labels_is_none() -> None:
    with pytest.raises(RowError, match="0 labels where 2"):
        labels_of('{"labels": []}', n=2, default_label=None)


def test_a_text_that_says_too_little_may_have_several_default_labels_in_their_order() -> None:
    assert labels_of('{"labels": ["b", "a"]}', n=3, default_label=["a", "b"]) == ["a", "b"]


def test_a_model_makes_up_labels_where_none_are_available_but_not_without_the_form() -> None:
    assert labels_of('{"labels": "Astronomy"}') == "Astronomy"
    assert labels_of("unclassified") == "Unclassified"
    with pytest.raises(RowError):
        labels_of("Astronomy")


@given(st.lists(st.text("aAbB _-", min_size=1, max_size=4).filter(str.strip), min_size=1, max_size=6, unique=True))
def test_a_label_is_never_taken_for_one_that_is_spelled_like_it(available: list[str]) -> None:
    labels = Labels.of(1, available, [])
    for label in available:
        if label == label.strip():
            assert labels.read(orjson.dumps({"labels": label}).decode()) == [label]


def test_labels_that_differ_only_in_case_must_be_written_as_they_are() -> None:
    labels = Labels.of(1, ["US", "us"], [])
    assert labels.read('{"labels": "us"}') == ["us"]
    with pytest.raises(RowError, match="'Us' is none of the labels US, us"):
        labels.read('{"labels": "Us"}')


def test_the_prompt_has_all_that_the_parameters_say() -> None:
    prompt = prompt_of(
        n=2,
        context="Colours of things.",
        examples=["grass: green"],
        available_labels={"red": "like blood", "blue": "like water"},
        default_label="none",
        query_title="Thing",
    )
    for part in (
        "Colours of things.",
        "- grass: green",
        "- red: like blood",
        '"none"',
        "Thing:\nThe sky.",
        '"label 2"',
    ):
        assert part in prompt
    assert "no other label" not in prompt_of(default_label=None)


def test_the_form_has_the_labels_that_there_are() -> None:
    task = scripted(TextClassification, "", {"available_labels": ["a", "b"], "default_label": "c"})
    assert task.get_structured_output() == {
        "type": "object",
        "properties": {"labels": {"type": "string", "enum": ["a", "b", "c"]}},
        "required": ["labels"],
        "additionalProperties": False,
    }
    task = scripted(TextClassification, "", {"n": 2})
    assert (task.get_structured_output() or {})["properties"] == {
        "labels": {"type": "array", "items": {"type": "string"}}
    }


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"available_labels": ["a", "a"]}, "'a' is there twice"),
        ({"available_labels": []}, "no label in it"),
        ({"available_labels": ["a", " "]}, "no words"),
        ({"available_labels": ["a"], "n": 2}, "available_labels has only 1"),
        ({"default_label": ["a", "b"]}, "n is 1"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        scripted(TextClassification, "", parameters)
