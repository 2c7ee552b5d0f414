"""EchoLLM: the forms that it makes up."""

from __future__ import annotations

import asyncio
import importlib
import json
from enum import Enum
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from common.errors import UsageError
from common.llms import EchoLLM
from common.llms.structured.made_up import MadeUp
from common.llms.structured.reading import read
from common.llms.structured.structured_output import StructuredOutput
from common.naming.catalogue import entries
from common.steps.tasks.asking_step import AskingStep

TASKS = [getattr(importlib.import_module(entry.module), entry.name) for entry in entries("task")]


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Part(BaseModel):
    name: str = Field(min_length=3, max_length=8)
    mood: Mood | None
    parts: list[Part] = Field(default_factory=list)


class Whole(BaseModel):
    parts: list[Part] = Field(min_length=2, max_length=2)
    first: Part
    pair: tuple[int, str]
    share: float = Field(gt=0, lt=1)
    stars: int = Field(ge=1, le=5)
    even: int = Field(gt=2, multiple_of=2)
    note: str | None = None
    is_final: bool


def answer(prompt: str, form: Any = None, prefix: str = "") -> str:
    llm = EchoLLM(structured_output=form, prefix=prefix)
    text = asyncio.run(llm.agenerate([{"role": "user", "content": prompt}])).text
    assert text is not None
    return text


def leaves() -> st.SearchStrategy[dict[str, Any]]:
    bounds = st.integers(-5, 5)
    numbers = st.builds(
        lambda kind, low, more: {"type": kind, "minimum": low, "maximum": low + more},
        st.sampled_from(["integer", "number"]),
        bounds,
        st.integers(0, 9),
    )
    halves = st.builds(
        lambda kind, word, bound: {"type": kind, word: bound},
        st.sampled_from(["integer", "number"]),
        st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]),
        bounds,
    )
    texts = st.builds(
        lambda least, more: {"type": "string", "minLength": least, "maxLength": least + more},
        st.integers(0, 90),
        st.integers(0, 9),
    )
    plain = st.sampled_from(
        [
            {"type": "boolean"},
            {"type": "null"},
            {"enum": ["a", 1, None]},
            {"const": 3},
            {},
            {"type": ["null", "string"]},
        ]
        + [{"type": "string", "format": name} for name in ("date", "email", "uuid", "date-time", "ipv4")]
    )
    return numbers | halves | texts | plain


def wider(schemas: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    lists = st.builds(
        lambda items, least, more: {"type": "array", "items": items, "minItems": least, "maxItems": least + more},
        schemas,
        st.integers(0, 5),
        st.integers(0, 3),
    )
    objects = st.builds(
        lambda properties, is_closed: {
            "type": "object",
            "properties": properties,
            "required": list(properties)[::2],
            **({"additionalProperties": False} if is_closed else {}),
        },
        st.dictionaries(st.text("abc", min_size=1), schemas, max_size=4),
        st.booleans(),
    )
    either = st.builds(
        lambda word, options: {word: options},
        st.sampled_from(["anyOf", "allOf"]),
        st.lists(schemas, min_size=1, max_size=1),
    )
    optional = schemas.map(lambda schema: {"anyOf": [{"type": "null"}, schema]})
    return lists | objects | either | optional


@given(st.recursive(leaves(), wider, max_leaves=8), st.integers())
def test_what_is_made_up_is_valid(schema: dict[str, Any], seed: int) -> None:
    value = MadeUp(schema, Random(seed), lambda name: f"text of {name}").value()
    read(StructuredOutput(schema=schema), json.dumps(value))


@settings(max_examples=20)
@given(st.text())
def test_classes_of_pydantic_are_filled_also_those_that_hold_themselves(prompt: str) -> None:
    found = Whole.model_validate_json(answer(prompt, Whole))
    assert found.pair[1]


def test_what_may_be_null_is_sometimes_null() -> None:
    for either in ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": ["string", "null"]}):
        schema = {"type": "object", "properties": {"note": either}}
        found = {type(json.loads(answer(f"Prompt {number}.", {"schema": schema}))["note"]) for number in range(20)}
        assert found == {str, type(None)}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
def test_the_form_of_every_built_in_task_can_be_made_up(task: type[AskingStep]) -> None:
    for example in task.worked_examples:
        parameters = {**example.parameters, "use_default_structured_output": True}
        if form := task(llm=EchoLLM(), **parameters).llm.answer_form:
            read(form, answer("Rate this. It is a text.", form))


def test_numbers_and_choices_differ_between_prompts_but_not_between_runs() -> None:
    form = {"schema": {"type": "object", "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 5}}}}
    scores = [json.loads(answer(f"Rate answer {number}.", form))["score"] for number in range(40)]
    assert set(scores) == {1, 2, 3, 4, 5}
    assert scores == [json.loads(answer(f"Rate answer {number}.", form))["score"] for number in range(40)]
    words = {answer(f"Prompt {number}.", {"schema": ["good", "bad"]}) for number in range(20)}
    assert words == {"good", "bad"}


def test_texts_say_which_property_they_are_and_that_no_model_was_asked() -> None:
    form = {"schema": {"type": "object", "properties": {"reason": {"type": "string"}}}}
    found = json.loads(answer("Short. The longest sentence.", form, "One. "))
    assert found == {"reason": 'One. Echo (no model was asked), reason: "The longest sentence."'}


def test_an_answer_stands_between_the_tags_that_the_prompt_shows() -> None:
    assert answer("Reply so: <new>...</new>").startswith("<new>Echo (no model was asked)")
    assert answer("Go.\n<a>...</a>\n<b>...</b>", prefix="P. ").splitlines()[1].startswith("<b>P. Echo")
    assert answer("What does <b> do?").startswith("Echo")


def test_replies_are_given_as_they_are_each_prompt_the_same_one() -> None:
    llm = EchoLLM(replies=["Rating: 1", "Rating: 5"], prefix="Echo. ")

    def said() -> list[str | None]:
        prompts = (f"Rate answer {number}." for number in range(20))
        return [asyncio.run(llm.agenerate([{"role": "user", "content": prompt}])).text for prompt in prompts]

    assert said() == said()
    assert set(said()) == {"Rating: 1", "Rating: 5"}


def test_other_forms_are_refused_with_what_to_do() -> None:
    form = StructuredOutput(format="regex", schema="a+")
    with pytest.raises(ValidationError, match=r"EchoLLM has no format: regex.*or with a real model"):
        EchoLLM(structured_output=form)
    with pytest.raises(UsageError, match="EchoLLM has no format: regex"):
        EchoLLM().with_form(form)
