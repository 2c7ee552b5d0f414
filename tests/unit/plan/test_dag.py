"""The graph of a pipeline: the plan that comes out of a good one, and what is said about a bad one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import SpecError
from coordinator.plan.load import prepare
from tests.support.steps.sample_pipelines import LOAD, Steps, fault, plan


@pytest.fixture(autouse=True)
def _own_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """`prepare` puts folders of tests on `sys.path`."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_a_plan_has_what_the_fold_needs_of_each_step() -> None:
    found = plan(
        {
            "load": {**LOAD, "batch_size": 7},
            "up": {"type": "Upper", "after": "load", "input_batch_size": 3},
            "ask": {"type": "Ask", "after": "load", "max_failure_rate": 0.1},
            "all": {"type": "All", "after": ["ask", "up"]},
        }
    )
    assert [(step.name, step.kind, step.predecessors, step.batch_size) for step in found.steps.values()] == [
        ("load", "generator", (), 7),
        ("up", "step", ("load",), 3),
        ("ask", "step", ("load",), 50),
        ("all", "global", ("ask", "up"), 50),
    ]
    assert found.steps["ask"].max_failure_rate == 0.1
    assert found.generators == ("load",)
    assert found.leaves == ("all",)
    assert found.successors("load") == ("up", "ask")
    assert found.successors("all") == ()


def test_steps_may_stand_in_any_order_and_come_out_predecessors_first() -> None:
    found = plan(
        {
            "leaf": {"type": "Join", "after": ["b", "a"]},
            "b": {"type": "Upper", "after": "load"},
            "a": {"type": "Upper", "after": "load"},
            "load": LOAD,
        }
    )
    assert list(found.steps) == ["load", "b", "a", "leaf"]
    assert found.steps["leaf"].predecessors == ("b", "a")


def test_steps_keep_the_order_of_the_spec_where_they_can() -> None:
    steps = {
        "a": {"type": "Upper", "after": "load2"},
        "load1": LOAD,
        "load2": LOAD,
        "b": {"type": "Upper", "after": "load1"},
    }
    assert list(plan(steps).steps) == ["load1", "load2", "a", "b"]


def test_a_cycle_is_found_also_from_a_step_outside_of_it() -> None:
    steps = {
        "tail": {"type": "Upper", "after": "b"},
        "a": {"type": "Upper", "after": "c"},
        "b": {"type": "Upper", "after": "a"},
        "c": {"type": "Upper", "after": "b"},
    }
    assert "the steps form a cycle: a -> b -> c -> a;" in fault(steps).message


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "a", "b"), ("b", "c", "a"), ("c", "b", "a")])
def test_a_cycle_is_printed_from_the_step_that_stands_first(names: tuple[str, ...]) -> None:
    steps = {
        "a": {"type": "Upper", "after": "c"},
        "b": {"type": "Upper", "after": "a"},
        "c": {"type": "Upper", "after": "b"},
    }
    found = fault({name: steps[name] for name in names})
    turned = "abcabca"["abc".index(names[0]) :][:4]
    assert f"the steps form a cycle: {' -> '.join(turned)};" in found.message
    assert found.loc == ("steps", names[0], "after")


@given(st.data())
def test_every_random_graph_comes_out_in_topological_order(data: st.DataObject) -> None:
    names = [f"s{index}" for index in range(data.draw(st.integers(1, 8)))]
    steps: Steps = {}
    for index, name in enumerate(names):
        before = data.draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        steps[name] = {"type": "Join", "after": before} if before else LOAD
    found = plan({name: steps[name] for name in data.draw(st.permutations(names))})
    order = list(found.steps)
    for name, step in found.steps.items():
        assert all(order.index(other) < order.index(name) for other in step.predecessors)
        assert all(name in found.steps[other].predecessors for other in found.successors(name))
    assert set(found.leaves) == {
        name for name in names if all(name not in step.get("after", ()) for step in steps.values())
    }


@pytest.mark.parametrize(
    ("steps", "loc", "expected"),
    [
        ({}, ("steps",), "the pipeline has no steps; add at least a generator step"),
        (
            {"load": LOAD, "clean": {"type": "Upper", "after": "load"}, "up": {"type": "Upper", "after": "cleen"}},
            ("steps", "up", "after", 0),
            "step 'up' comes after 'cleen', which is not a step; did you mean 'clean'?",
        ),
        (
            {"load": LOAD, "up": {"type": "Upper", "after": "up"}},
            ("steps", "up", "after", 0),
            "step 'up' comes after itself; name the step whose rows it takes",
        ),
        (
            {"load": LOAD, "up": {"type": "Join", "after": ["load", "load"]}},
            ("steps", "up", "after", 1),
            "step 'up' names 'load' twice in its 'after'; remove one of them",
        ),
        (
            {"load": LOAD, "a": {"type": "Join", "after": ["load", "c"]}, "b": {"type": "Upper", "after": "a"}}
            | {"c": {"type": "Upper", "after": "b"}},
            ("steps", "a", "after"),
            "the steps form a cycle: a -> b -> c -> a; remove one of them from the other's 'after'",
        ),
        (
            {"up": {"type": "Upper"}},
            ("steps", "up"),
            "step 'up' has no predecessor, but Upper is not a generator step; name the step it comes after (up: "
            "{after: ...})",
        ),
        (
            {"load": LOAD, "more": {"type": "Load", "after": "load"}},
            ("steps", "more", "after"),
            "step 'more' comes after 'load', but Load is a generator step, which takes no input rows; remove its "
            "'after'",
        ),
        (
            {"load": {"type": "NoOffset"}},
            ("steps", "load", "type"),
            "step 'load': NoOffset.process has no parameter 'offset', and a generator step must be able to resume at "
            "any row: write process(self, offset: int = 0)",
        ),
        (
            {"load": {"type": "GeneratorWithInput"}},
            ("steps", "load", "type"),
            "step 'load': GeneratorWithInput.process takes rows (inputs: StepInput), but a generator step has no "
            "predecessor; make it a Step, or remove the parameter",
        ),
        (
            {"load": LOAD, "up": {"type": "NoInput", "after": "load"}},
            ("steps", "up", "type"),
            "step 'up': NoInput.process has no parameter of type StepInput for the rows of 'load'; write "
            "process(self, inputs: StepInput)",
        ),
        (
            {"load": LOAD, "up": {"type": "TwoInputs", "after": "load"}},
            ("steps", "up", "type"),
            "step 'up': TwoInputs.process has several parameters of type StepInput (left, right); to take the rows "
            "of several predecessors, write process(self, *inputs: StepInput)",
        ),
        (
            {"load": LOAD, "more": LOAD, "up": {"type": "Upper", "after": ["load", "more"]}},
            ("steps", "up", "after"),
            "step 'up' comes after 'load', 'more', but Upper.process takes the rows of one step; join them first, for "
            "example with CombineOutputs, or write process(self, *inputs: StepInput)",
        ),
        (
            {"load": LOAD, "more": LOAD, "ask": {"type": "Ask", "after": ["load", "more"]}},
            ("steps", "ask", "after"),
            "step 'ask' comes after 'load', 'more', but Ask takes one row at a time and so can have only one "
            "predecessor; join them first, for example with CombineOutputs",
        ),
        (
            {"load": LOAD, "ask": {"type": "NotAsync", "after": "load"}},
            ("steps", "ask", "type"),
            "step 'ask': NotAsync.process_row is not asynchronous; write 'async def process_row(self, row)'",
        ),
        (
            {"load": LOAD, "up": {"type": "BrokenInputs", "after": "load"}},
            ("steps", "up"),
            "step 'up': BrokenInputs.inputs raised RuntimeError: no model file",
        ),
    ],
)
def test_a_wrong_graph_is_one_message_with_its_place(steps: Steps, loc: tuple[str, ...], expected: str) -> None:
    found = fault(steps)
    assert (found.message, found.loc) == (expected, loc)


BRANCHES: Steps = {"load": LOAD, "a": {"type": "Upper", "after": "load"}, "b": {"type": "Upper", "after": "load"}}


def test_load_groups_name_each_step_once() -> None:
    plan(BRANCHES, load_groups=[["load"], ["a", "b"]])
    found = fault(BRANCHES, load_groups=[["load"], ["lode"]])
    assert (found.message, found.loc) == (
        "load_groups: there is no step 'lode'; did you mean 'load'?", ("load_groups", 1, 0)
    )  # fmt: skip
    assert fault(BRANCHES, load_groups=[["a"], ["a"]]).message == (
        "load_groups: step 'a' is named twice; a step can be in only one group"
    )


BUILT_INS = """\
name: quickstart
steps:
  load:     {type: LoadDataFromDicts, data: [{text: a}, {text: b}]}
  generate:
    type: TextGeneration
    after: load
    input_mappings: {instruction: text}
    output_mappings: {generation: answer}
    llm: {type: EchoLLM}
  keep:     {type: KeepColumns, after: generate, columns: [text, answer]}
  rest:     {type: KeepColumns, after: generate, columns: [text]}
  both:     {type: CombineOutputs, after: [keep, rest]}
"""


def test_a_pipeline_of_built_in_steps_is_planned(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(BUILT_INS)
    prepared = prepare(tmp_path / "spec.yaml")
    assert list(prepared.plan.steps) == ["load", "generate", "keep", "rest", "both"]
    assert prepared.folder == tmp_path


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "    input_mappings: {instruction: text}\n",
            "",
            "4: step 'generate' needs column 'instruction', which no earlier step provides; there are text; "
            "map one of them with input_mappings: {instruction: ...}",
        ),
        (
            "generation: answer",
            "generatoin: answer",
            "8: step 'generate': TextGeneration writes no column 'generatoin'; did you mean 'generation'?",
        ),
        (
            "after: generate, columns: [text]",
            "after: keep2, columns: [text]",
            "11: step 'rest' comes after 'keep2', which is not a step; did you mean 'keep'?",
        ),
        (
            "after: generate, columns: [text]",
            "after: keep, columns: [model_name]",
            "11: step 'rest' needs column 'model_name', which step 'keep' drops; let 'keep' keep it",
        ),
        (
            "LoadDataFromDicts, ",
            "LoadDataFromDicts, after: both, ",
            "3: the steps form a cycle: load -> generate -> keep -> both -> load; "
            "remove one of them from the other's 'after'",
        ),
    ],
)
def test_a_fault_in_a_file_has_its_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert BUILT_INS.count(old) == 1
    path = tmp_path / "spec.yaml"
    path.write_text(BUILT_INS.replace(old, new))
    with pytest.raises(SpecError) as caught:
        prepare(path)
    assert str(caught.value) == f"{path}:{expected}"
