"""Columns on their way through the graph: what is missing, what was dropped, what is renamed."""

from __future__ import annotations

from typing import Any

import pytest

from common.building.columns import declared_columns
from common.steps import AsyncStep, GeneratorStep, GlobalStep, Step
from common.steps.base import BaseStep
from tests.support.steps.sample_pipelines import LOAD, Steps, fault, plan


@pytest.mark.parametrize(
    ("columns", "up", "loc", "expected"),
    [
        (
            ["a", "b"],
            {},
            ("steps", "up"),
            "step 'up' needs column 'text', which no earlier step provides; there are a, b; "
            "map one of them with input_mappings: {text: ...}",
        ),
        (
            ["texts"],
            {},
            ("steps", "up"),
            "step 'up' needs column 'text', which no earlier step provides; did you mean 'texts'? (input_mappings: "
            "{text: texts})",
        ),
        (
            ["prompt"],
            {"input_mappings": {"text": "promt"}},
            ("steps", "up", "input_mappings", "text"),
            "step 'up' needs column 'promt' (as 'text'), which no earlier step provides; did you mean 'prompt'? "
            "(input_mappings: {text: prompt})",
        ),
        (
            [],
            {},
            ("steps", "up"),
            "step 'up' needs column 'text', which no earlier step provides; no earlier step declares columns in its "
            "`outputs`",
        ),
        (
            ["text"],
            {"input_mappings": {"txt": "text"}},
            ("steps", "up", "input_mappings", "txt"),
            "step 'up': Upper reads no column 'txt'; did you mean 'text'?",
        ),
        (
            ["text"],
            {"output_mappings": {"lower": "x"}},
            ("steps", "up", "output_mappings", "lower"),
            "step 'up': Upper writes no column 'lower'; it writes upper",
        ),
    ],
)
def test_a_missing_column_is_named_with_the_remedy(
    columns: list[str], up: dict[str, Any], loc: tuple[str, ...], expected: str
) -> None:
    found = fault({"load": {**LOAD, "columns": columns}, "up": {"type": "Upper", "after": "load", **up}})
    assert (found.message, found.loc) == (expected, loc)


def test_a_column_dropped_upstream_is_named_with_the_step_that_drops_it() -> None:
    steps: Steps = {
        "load": {**LOAD, "columns": ["text", "id"]},
        "keep": {"type": "Keep", "after": "load", "columns": ["id"]},
        "ask": {"type": "Ask", "after": "keep"},
        "up": {"type": "Upper", "after": "ask"},
    }
    assert fault(steps).message == "step 'up' needs column 'text', which step 'keep' drops; let 'keep' keep it"
    plan(steps | {"keep": {"type": "Keep", "after": "load", "columns": ["text"]}})


@pytest.mark.parametrize(
    ("skip_when", "before", "expected"),
    [
        ("scoer > 3", ["score", "text"], "uses column 'scoer', which no earlier step provides; did you mean 'score'?"),
        ("x is none", ["a", "text"], "uses column 'x', which no earlier step provides; there are a, text"),
        ("body is none", ["text"], "uses column 'body', which no earlier step provides; there are text"),
    ],
)
def test_a_column_of_skip_when_that_nothing_makes_is_named(skip_when: str, before: list[str], expected: str) -> None:
    """It has the name that it has in the pipeline, not that of the step."""
    up = {"type": "Upper", "after": "load", "skip_when": skip_when}
    found = fault({"load": {**LOAD, "columns": before}, "up": up})
    assert (found.message, found.loc) == (f"skip_when of step 'up' {expected}", ("steps", "up", "skip_when"))


def test_a_column_of_skip_when_that_a_step_drops_is_named_with_that_step() -> None:
    steps: Steps = {
        "load": {**LOAD, "columns": ["text", "score"]},
        "keep": {"type": "Keep", "after": "load", "columns": ["text"]},
        "up": {"type": "Upper", "after": "keep", "skip_when": "score > 3"},
    }
    assert fault(steps).message == (
        "skip_when of step 'up' uses column 'score', which step 'keep' drops; let 'keep' keep it"
    )
    plan(steps | {"keep": {"type": "Keep", "after": "load", "columns": ["text", "score"]}})
    mapped = {"type": "Upper", "after": "load", "input_mappings": {"text": "score"}, "skip_when": "score > 3"}
    plan({"load": steps["load"], "up": mapped})
    plan({"load": {"type": "LoadAnything"}, "ask": {"type": "Ask", "after": "load", "skip_when": "what > 3"}})


def test_skip_when_is_refused_where_no_row_can_pass_the_step_by() -> None:
    generator = fault({"load": {**LOAD, "skip_when": "text is none"}})
    assert generator.message.startswith(
        "step 'load' has a skip_when, but Load is a generator step, which takes no rows that could pass it by"
    )
    two: Steps = {"a": LOAD, "b": LOAD, "join": {"type": "Join", "after": ["a", "b"], "skip_when": "text is none"}}
    join = fault(two)
    assert join.message.startswith("step 'join' has a skip_when and comes after 'a', 'b': it takes rows of each")
    assert (generator.loc, join.loc) == (("steps", "load", "skip_when"), ("steps", "join", "skip_when"))


def test_mappings_rename_columns_on_their_way() -> None:
    plan(
        {
            "load": {**LOAD, "columns": ["a"], "output_mappings": {"a": "b"}},
            "up": {
                "type": "Upper",
                "after": "load",
                "input_mappings": {"text": "b"},
                "output_mappings": {"upper": "text"},
            },
            "again": {"type": "Upper", "after": "up"},
        }
    )


def test_a_join_may_take_each_column_from_another_predecessor() -> None:
    steps: Steps = {
        "a": {**LOAD, "columns": ["x"]},
        "b": {**LOAD, "columns": ["text"]},
        "join": {"type": "Join", "after": ["a", "b"]},
        "up": {"type": "Upper", "after": "join"},
    }
    plan(steps)
    assert "needs column 'text'" in fault(steps | {"b": {**LOAD, "columns": ["y"]}}).message


def test_columns_that_depend_on_the_data_and_optional_ones_are_not_missed() -> None:
    plan(
        {
            "load": {"type": "LoadAnything", "output_mappings": {"whatever": "x"}},
            "up": {"type": "Upper", "after": "load"},
            "known": {"type": "Keep", "after": "up", "columns": ["id"]},
            "maybe": {"type": "Optional", "after": "known"},
        }
    )


def test_two_columns_cannot_get_one_name() -> None:
    found = fault({"load": {**LOAD, "columns": ["a", "b"], "output_mappings": {"a": "x", "b": "x"}}})
    assert (
        found.message
        == "step 'load' gives the columns 'a' and 'b' the same name, 'x', so one would be lost; rename one of them"
    )


def test_a_column_cannot_get_the_name_of_one_that_the_step_writes_as_well() -> None:
    found = fault({"load": {**LOAD, "columns": ["a", "b"], "output_mappings": {"a": "b"}}})
    assert (
        found.message
        == "step 'load' gives the columns 'a' and 'b' the same name, 'b', so one would be lost; rename one of them"
    )


@pytest.mark.parametrize("base", [Step, GlobalStep, AsyncStep, GeneratorStep])
def test_columns_may_be_plain_attributes_of_a_class_of_any_kind(base: type[BaseStep]) -> None:
    methods = {"process": lambda self, *inputs: iter(inputs), "process_row": lambda self, row: row}
    metaclass: Any = type(base)
    plain = metaclass("Plain", (base,), {"__module__": __name__, "outputs": ["a", "b"], **methods})
    typed = metaclass("Typed", (base,), {"__module__": __name__, "outputs": ("a",), "inputs": {"x": False}, **methods})
    typed_more = metaclass("More", (typed,), {"__module__": __name__, "limit": 1, "__annotations__": {"limit": int}})
    assert plain().outputs == ["a", "b"]
    assert (typed().outputs, typed().inputs) == (["a"], {"x": False})
    assert (typed_more(limit=2).outputs, typed_more.model_fields.keys() & {"outputs", "inputs"}) == (["a"], set())
    plain().outputs.append("c")  # type: ignore[union-attr]
    assert plain().outputs == ["a", "b"]
    assert declared_columns(typed(), "inputs") == {"x": False}
