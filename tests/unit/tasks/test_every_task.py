"""What every built-in task keeps: its examples are true, it reads the shapes of replies as its list says, and no reply
does anything but make a row or fail it with the text that came.

A task joins with its `worked_examples` and the module of its replies in `replies/`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import RowError
from common.naming.catalogue import entries
from common.protocol.codec import check_row
from common.steps.base import GeneratorStep, Row
from common.steps.metadata import METADATA
from common.steps.tasks.asking import SHOWN_CHARACTERS
from common.steps.tasks.asking_step import AskingStep
from common.steps.tasks.examples import Example
from tests.support.tasks.replies import SHAPES, Reply
from tests.support.tasks.scripted import Scripted, rows_of, scripted

CLASSES: dict[str, Any] = {entry.name: getattr(import_module(entry.module), entry.name) for entry in entries("task")}
TASKS = {name: cls for name, cls in CLASSES.items() if issubclass(cls, AskingStep)}
REPLIES = Path(__file__).parent / "replies"
EXAMPLES = [
    pytest.param(cls, example, id=f"{name}-{number}")
    for name, cls in TASKS.items()
    for number, example in enumerate(cls.worked_examples)
]


def replies_to(cls: type[AskingStep]) -> dict[str, Reply]:
    """Of the module of replies that has the name of the task's own."""
    file = REPLIES / f"{cls.__module__.rpartition('.')[2]}.py"
    assert file.is_file(), f"write the replies to {cls.__name__} into {file}, one for each of SHAPES"
    spec = spec_from_file_location(f"replies_to_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.REPLIES
    of_class = found.get(cls.__name__)  # a module with several tasks has a mapping for each
    return of_class if isinstance(of_class, dict) else found


def played(cls: type[AskingStep], replies: str | Sequence[str], example: Example) -> AskingStep:
    """The task of an example, with a model that gives these replies; rows that fail raise."""
    strict = {"on_error": "fail"} if issubclass(cls, GeneratorStep) else {}
    return scripted(cls, replies, {**strict, **example.parameters})


def columns_of_the_task(task: AskingStep, row: Row) -> dict[str, Any]:
    """Those that it has added, but for those that every task adds."""
    added = set(task.outputs) - set(task._common_outputs)
    return {name: value for name, value in row.items() if name in added}


@pytest.mark.parametrize(("cls", "example"), EXAMPLES)
def test_an_example_is_what_the_task_does(cls: type[AskingStep], example: Example) -> None:
    task = played(cls, example.reply, example)
    row = dict(example.row)
    for made in rows_of(task, row)[:1]:
        assert columns_of_the_task(task, made) == example.made
        assert {name: made[name] for name in row if name not in example.made} == {
            name: value for name, value in row.items() if name not in example.made
        }
        assert made["model_name"] == "scripted"
        check_row(made)
    assert row == example.row, "the task changes the row that it was given"
    required = task.inputs if isinstance(task.inputs, list) else [name for name, needs in task.inputs.items() if needs]
    assert set(required) <= example.row.keys()


@pytest.mark.parametrize(("cls", "example"), EXAMPLES)
def test_the_form_of_a_task_demands_nothing_of_the_model_that_every_task_adds(
    cls: type[AskingStep], example: Example
) -> None:
    task = played(cls, "", example)
    assert not set((task.get_structured_output() or {}).get("properties", ())) & set(task._common_outputs)


@pytest.mark.parametrize("cls", TASKS.values(), ids=TASKS)
def test_a_task_has_an_example_and_a_reply_of_each_shape(cls: type[AskingStep]) -> None:
    assert cls.worked_examples, (
        f"give {cls.__name__} an example: worked_examples = (Example(row=..., reply=..., made=...),)"
    )
    assert replies_to(cls).keys() == SHAPES.keys()


@pytest.mark.parametrize("cls", TASKS.values(), ids=TASKS)
def test_replies_of_every_shape_make_what_their_list_says(cls: type[AskingStep]) -> None:
    example = cls.worked_examples[0]
    for shape, reply in replies_to(cls).items():
        task = played(cls, reply.text, example)
        found = outcome(task, example)
        made = None if isinstance(found, str) else columns_of_the_task(task, found)
        assert made == reply.made, f"{shape} ({SHAPES[shape]}): {found}"


def outcome(task: AskingStep, example: Example) -> Row | str:
    """The first row that comes of it, or the error of the failed row, which has the text of the reply."""
    assert isinstance(task.llm, Scripted)
    try:
        first = rows_of(task, dict(example.row))[0]
    except RowError as failed:
        check_has_text(failed, task.llm.replies)
        return str(failed)
    return first


def check_has_text(failed: RowError, replies: list[str | None]) -> None:
    """The failed row has what the model said, at least where that is clear: where all of it was one text."""
    if len(replies) == 1 and (text := replies[0]) and text.strip():
        assert text[:SHOWN_CHARACTERS] in str(failed)
        kept = failed.columns[METADATA]["raw_output_task"]
        assert text in (kept if isinstance(kept, list) else [kept])


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.text(st.sampled_from("0123456789.:-#*[](){}\"'`,\n\r abAB<>/|\\"), max_size=200),
)


@pytest.mark.parametrize("cls", TASKS.values(), ids=TASKS)
def test_any_text_makes_a_row_or_fails_it_with_the_text(cls: type[AskingStep]) -> None:
    example = cls.worked_examples[0]
    whole = example.reply if isinstance(example.reply, str) else example.reply[0]
    parts = st.sampled_from([whole, *whole.splitlines(), *whole.split(), *(r for r in replies(cls) if r)])
    logging.getLogger("penstock.step.task").setLevel(logging.CRITICAL)

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.one_of(parts, TEXTS), min_size=1, max_size=5).map("".join))
    def holds(text: str) -> None:
        task = played(cls, text, example)
        found = outcome(task, example)
        if isinstance(found, dict):
            check_row(found)
            required = (
                task.outputs if isinstance(task.outputs, list) else [n for n, must in task.outputs.items() if must]
            )
            assert set(required) <= found.keys()

    holds()


def replies(cls: type[AskingStep]) -> list[str]:
    return [reply.text for reply in replies_to(cls).values() if isinstance(reply.text, str)]
