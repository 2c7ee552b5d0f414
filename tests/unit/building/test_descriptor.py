"""Descriptors of steps, and the steps that are made of them elsewhere: as good as the real ones for every check."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from common.building.descriptor import SIZE_LIMIT, StepDescriptor, describe_step, step_digest
from common.building.stand_in import stand_in
from common.errors import SpecFault, WireError
from common.llms import EchoLLM
from common.steps import TextGeneration
from common.steps.base import BaseStep, StepInput, StepOutput, StepResources
from coordinator.plan.contract import check_contract
from tests.support.steps import sample_steps as samples


class Flagged(samples.Join):
    """Has a parameter behind its inputs."""

    def process(self, *inputs: StepInput, flag: bool = False, **more: object) -> StepOutput:
        yield inputs[0]


STEPS: list[BaseStep] = [
    Flagged(name="one"),
    samples.Load(name="one", columns=["a", "b"], output_mappings={"a": "c"}),
    samples.LoadAnything(name="one"),
    samples.Upper(name="one", input_mappings={"text": "body"}, input_batch_size=7, on_error="nulls"),
    samples.Optional(name="one"),
    samples.Join(name="one"),
    samples.All(name="one", max_failure_rate=0.25),
    samples.Ask(name="one", concurrency=3, resources=StepResources(gpus=2)),
    samples.NotAsync(name="one"),
    samples.NoInput(name="one"),
    samples.TwoInputs(name="one"),
    samples.NoOffset(name="one"),
    samples.GeneratorWithInput(name="one"),
    TextGeneration(name="one", llm=EchoLLM()),
]
same_steps = pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)


def elsewhere(step: BaseStep) -> BaseStep:
    """The step as another process sees it."""
    return stand_in(step.name, StepDescriptor.decode(step.name, describe_step(step).encode()))


def complaint(step: BaseStep, predecessors: list[str]) -> str:
    try:
        check_contract(step, predecessors)
    except SpecFault as fault:
        return str(fault)
    return ""


@same_steps
@pytest.mark.parametrize("predecessors", [[], ["a"], ["a", "b"]], ids=len)
def test_its_contract_is_judged_in_the_same_words(step: BaseStep, predecessors: list[str]) -> None:
    assert complaint(elsewhere(step), predecessors) == complaint(step, predecessors)


@same_steps
def test_its_columns_and_settings_are_the_same(step: BaseStep) -> None:
    other = elsewhere(step)
    assert (other.kind, other.name, dict.fromkeys(other.outputs)) == (step.kind, step.name, dict.fromkeys(step.outputs))
    assert set(other.inputs) == set(step.inputs)
    entering: set[str] | None = set() if step.kind == "generator" else {"text", "body"}
    assert other.output_columns(entering) == step.output_columns(entering)
    settings = set(type(other).model_fields)
    assert other.model_dump(include=settings) == step.model_dump(include=settings)


def test_the_rule_by_which_rows_pass_it_by_is_part_of_it_and_without_one_earlier_coordinators_read_it() -> None:
    step = samples.Upper(name="one", skip_when="text is none")
    assert elsewhere(step).skip_when == "text is none"
    assert complaint(elsewhere(step), ["a", "b"]) == complaint(step, ["a", "b"]) != ""
    assert "skip_when" not in describe_step(samples.Upper(name="one")).settings


def test_optional_inputs_stay_optional() -> None:
    assert elsewhere(samples.Optional(name="one")).inputs == {"text": False}


def test_columns_of_a_step_with_a_method_of_its_own_depend_on_the_data() -> None:
    step = samples.Keep(name="one", columns=["a"])
    assert step.output_columns({"a", "b"}) == {"a"}
    assert elsewhere(step).output_columns({"a", "b"}) is None


def test_the_schema_of_the_parameters_is_part_of_it() -> None:
    schema = describe_step(samples.Upper(name="one")).parameters
    assert {"lowercase", "words", "input_batch_size"} <= set(schema["properties"])


def test_the_digest_is_that_of_the_step_and_of_its_llm() -> None:
    class OtherLLM(EchoLLM):
        """Another source."""

    first, second = TextGeneration(name="one", llm=EchoLLM()), TextGeneration(name="two", llm=EchoLLM())
    assert step_digest(first) == step_digest(second)
    assert step_digest(first) != step_digest(TextGeneration(name="one", llm=OtherLLM()))


def test_a_step_that_cannot_say_its_columns_is_named() -> None:
    with pytest.raises(SpecFault, match=r"step 'one': BrokenInputs\.inputs raised RuntimeError: no model file"):
        describe_step(samples.BrokenInputs(name="one"))


# foreign data

GOOD = describe_step(samples.Upper(name="one"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kind": "evil"}, "kind: Input should be"),
        ({"class_name": "a b"}, "class_name: "),
        ({"digest": 7}, "digest: "),
        ({"inputs": {"text": "yes"}}, "inputs.text: "),
        ({"outputs": "text"}, "outputs: "),
        ({"extra": 1}, "extra: "),
        ({"process": [{"name": "1", "form": "one", "rows": True}]}, "process.0.name: "),
    ],
)
def test_a_descriptor_of_another_shape_is_refused_and_the_place_named(change: dict[str, Any], problem: str) -> None:
    data = json.loads(GOOD.encode()) | change
    with pytest.raises(WireError, match="the descriptor of step 'one' in the broker is not one that this") as caught:
        StepDescriptor.decode("one", json.dumps(data).encode())
    assert f"({problem}" in str(caught.value)
    assert "--fresh" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"{", b"[" * 100_000, b"1" * (SIZE_LIMIT + 1)], ids=range(6))
def test_what_is_no_descriptor_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="the descriptor of step 'one'"):
        StepDescriptor.decode("one", data)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({**GOOD.settings, "input_batch_size": 0}, "settings.input_batch_size: "),
        ({**GOOD.settings, "model": "x"}, "settings.model: "),
        ({"on_error": "explode"}, "settings.on_error: "),
    ],
)
def test_settings_that_no_step_can_have_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(WireError) as caught:
        stand_in("one", replace(GOOD, settings=settings))
    assert f"({problem}" in str(caught.value)


@pytest.mark.parametrize("names", [("inputs", "inputs"), ("class",)])
def test_parameters_that_no_method_can_have_are_refused(names: tuple[str, ...]) -> None:
    process = tuple(replace(GOOD.process[0], name=name) for name in names)
    with pytest.raises(WireError, match="the descriptor of step 'one'"):
        stand_in("one", replace(GOOD, process=process))
