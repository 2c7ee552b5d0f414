"""The column `distilabel_metadata`: what tasks write into it, what is kept of it, and when it is there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from common.building.build import build_steps
from common.errors import RowError, SpecFault
from common.llms import LLM, ChatMessage, Generation
from common.spec.spec import PipelineSpec
from common.steps import CombineOutputs, GroupColumns, TextGeneration
from common.steps.base import Row
from common.steps.metadata import METADATA
from coordinator.plan.dag import build_plan
from worker.batches.outcome import columns_of, failed_output

ASKED = [{"role": "user", "content": "Why?"}]


class Talker(LLM):
    """Returns the next of its answers."""

    answers: list[str | None] = ["one"]

    @property
    def model_name(self) -> str:
        return "talker"

    async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
        text = self.answers.pop(0)
        return Generation(text, "stop", input_tokens=4, output_tokens=len(text or ""))


def task(answers: list[str | None], *, enabled: bool = True, **options: Any) -> TextGeneration:
    step = TextGeneration(name="ask", llm=Talker(answers=answers), num_generations=len(answers), **options)
    step._enable_metadata = enabled
    step.load()
    return step


def run(step: TextGeneration, row: Row | None = None) -> Any:
    return asyncio.run(step.process_row({"instruction": "Why?", **(row or {})}))


def test_a_row_has_what_was_asked_answered_and_counted() -> None:
    assert run(task(["one"]))[METADATA] == {
        "raw_input_ask": ASKED,
        "raw_output_ask": "one",
        "statistics_ask": {"input_tokens": 4, "output_tokens": 3},
    }


def test_without_enable_metadata_there_is_no_column() -> None:
    step = task(["one"], enabled=False)
    assert METADATA not in run(step)
    assert METADATA not in step.outputs


def test_what_earlier_steps_said_stays() -> None:
    assert list(run(task(["one"]), {METADATA: {"raw_output_first": "x"}})[METADATA]) == [
        "raw_output_first",
        "raw_input_ask",
        "raw_output_ask",
        "statistics_ask",
    ]
    assert run(task(["one"]), {METADATA: None})[METADATA]["raw_output_ask"] == "one"


def test_input_and_output_may_be_left_out() -> None:
    assert list(run(task(["one"], add_raw_input=False, add_raw_output=False))[METADATA]) == ["statistics_ask"]


def test_each_of_several_rows_has_its_own() -> None:
    rows = run(task(["one", "three"]))
    assert [row[METADATA]["raw_output_ask"] for row in rows] == ["one", "three"]
    assert [row[METADATA]["statistics_ask"]["output_tokens"] for row in rows] == [3, 5]


def test_a_row_of_grouped_generations_has_lists() -> None:
    assert run(task(["one", "three"], group_generations=True))[METADATA] == {
        "raw_input_ask": ASKED,
        "raw_output_ask": ["one", "three"],
        "statistics_ask": {"input_tokens": [4, 4], "output_tokens": [3, 5]},
    }


def test_a_row_that_fails_for_lack_of_text_keeps_what_there_is() -> None:
    step = task(["one", None], on_error="nulls", retries=0)
    with pytest.raises(RowError) as caught:
        run(step)
    row = failed_output(step, {"instruction": "Why?", METADATA: {"a": 1}}, columns_of(caught.value))
    assert row is not None
    assert (row["generation"], row["model_name"]) == (None, None)
    assert row[METADATA]["raw_output_ask"] == ["one", None]


def test_a_row_that_fails_otherwise_keeps_what_earlier_steps_said() -> None:
    step = task(["one"], on_error="nulls")
    row = failed_output(step, {"instruction": None, METADATA: {"raw_output_first": "x"}}, columns_of(KeyError()))
    assert row == {
        "instruction": None,
        "generation": None,
        "model_name": None,
        METADATA: {"raw_output_first": "x"},
    }
    assert (failed_output(step, {}) or {})[METADATA] is None


def test_a_column_of_that_name_that_is_something_else_fails_the_row() -> None:
    with pytest.raises(RowError, match=f"column '{METADATA}' holds a str"):
        run(task(["one"]), {METADATA: "mine"})


def test_joins_keep_what_each_branch_says() -> None:
    rows = [{"g": n, METADATA: {f"raw_output_{n}": n, "raw_output_common": "c"}} for n in ("a", "b")]
    both = {"raw_output_a": "a", "raw_output_common": "c", "raw_output_b": "b"}
    grouped = next(GroupColumns(name="group", columns=["g"]).process(*([row] for row in rows)))
    assert grouped == [{METADATA: both, "grouped_g": ["a", "b"]}]
    assert next(CombineOutputs(name="join").process(*([row] for row in rows)))[0][METADATA] == both


def test_a_join_without_metadata_has_no_such_column() -> None:
    assert next(CombineOutputs(name="join").process([{"a": 1}], [{"b": 2}])) == [{"a": 1, "b": 2}]


def plan(*, enabled: bool) -> None:
    steps = {
        "load": {"type": "LoadDataFromDicts", "data": [{"instruction": "Why?"}]},
        "ask": {"type": "TextGeneration", "after": "load", "llm": {"type": "EchoLLM"}},
        "keep": {"type": "KeepColumns", "after": "ask", "columns": ["generation", METADATA]},
    }
    spec = PipelineSpec.from_dict({"name": "demo", "steps": steps, "enable_metadata": enabled})
    build_plan(spec, build_steps(spec, base_dir=Path("/")), {})


def test_later_steps_may_use_the_column_where_the_pipeline_has_it() -> None:
    plan(enabled=True)
    with pytest.raises(SpecFault, match=f"step 'keep' needs column '{METADATA}'"):
        plan(enabled=False)
