"""Runtime parameters: what may be passed late, what is missing, and what exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import BaseModel, Field, ValidationError, field_validator

from common.building.dump import dump_parameters
from common.errors import SpecError, SpecFault
from common.llms import LLM, ChatMessage, Generation
from common.parameters.runtime_parameters import (
    check_runtime_parameters,
    missing_runtime_parameters,
    runtime_parameters_info,
)
from common.steps import (
    LoadDataFromDicts,
    RuntimeParameter,
    RuntimeParametersMixin,
    Step,
    StepInput,
    StepOutput,
    TextGeneration,
)
from coordinator.cli import group
from coordinator.plan.load import prepare


class Options(BaseModel):
    """A user's model, which knows nothing of runtime parameters."""

    depth: RuntimeParameter[int]
    width: int = 1


class Late(RuntimeParametersMixin):
    """One that can be made before its value is there."""

    depth: RuntimeParameter[int]


class Sample(Step):
    """Has parameters of every sort."""

    factor: RuntimeParameter[int] = Field(gt=0, description="Times\n  that.")
    shift: RuntimeParameter[int] = 0
    plain: int = 1
    options: Options | None = None
    late: list[Late] = []

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs


class Choosy(LLM):
    """Names its options."""

    style: RuntimeParameter[str]

    @property
    def model_name(self) -> str:
        return "choosy"

    async def agenerate(  # type: ignore[override]
        self, messages: list[ChatMessage], temperature: float, top_p: float = 1.0
    ) -> Generation:
        return Generation(f"{temperature} {top_p}")


def test_a_step_is_made_without_its_runtime_parameters() -> None:
    step = Sample(name="s")
    assert step.factor is None
    assert "factor" not in step.model_fields_set
    assert missing_runtime_parameters(step) == ["factor"]


def test_a_runtime_parameter_that_is_given_is_not_missing_and_is_checked() -> None:
    assert missing_runtime_parameters(Sample(name="s", factor=2)) == []
    with pytest.raises(ValidationError, match="greater than 0"):
        Sample(name="s", factor=0)


def test_what_is_no_runtime_parameter_must_be_there_at_once() -> None:
    with pytest.raises(ValidationError, match="llm"):
        TextGeneration(name="s")  # type: ignore[call-arg]


def test_those_of_a_nested_model_may_come_late_too() -> None:
    step = Sample.model_validate({"name": "s", "factor": 1, "options": {"width": 2}, "late": [{}, {"depth": 3}]})
    assert step.options == Options(depth=None, width=2)
    assert missing_runtime_parameters(step) == ["options.depth", "late.0.depth"]


def test_those_of_an_llm_and_the_options_of_its_calls_are_found() -> None:
    step = TextGeneration(name="s", llm=Choosy())
    assert missing_runtime_parameters(step) == ["llm.generation_kwargs.temperature", "llm.style"]
    ready = TextGeneration(name="s", llm=Choosy(style="plain", generation_kwargs={"temperature": 0.5}))
    assert missing_runtime_parameters(ready) == []


def test_an_option_that_no_call_takes_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ValidationError, match="has 'temprature', not an option; did you mean 'temperature'"):
        Choosy(generation_kwargs={"temprature": 1})


def test_a_run_without_a_value_is_told_how_to_give_it() -> None:
    with pytest.raises(SpecFault) as caught:
        check_runtime_parameters({"scale": Sample(name="scale")})
    assert caught.value.loc == ("steps", "scale")
    assert caught.value.message == (
        "step 'scale' is missing its runtime parameter 'factor'; give it a value when the pipeline is run: "
        "pipeline.run(parameters={'scale': {'factor': ...}}), or --set scale.factor=VALUE on the command line"
    )


def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(SpecFault) as caught:
        check_runtime_parameters({"a": Sample(name="a"), "b": TextGeneration(name="b", llm=Choosy(style="x"))})
    assert "step 'a' is missing its runtime parameter 'factor', step 'b' is missing" in caught.value.message
    assert "{'a': {'factor': ...}, 'b': {'llm': {'generation_kwargs': {'temperature': ...}}}}" in caught.value.message
    assert "--set a.factor=VALUE --set b.llm.generation_kwargs.temperature=VALUE" in caught.value.message


def entry(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (one,) = [each for each in found if each["name"] == name]
    return one


def test_the_list_has_names_defaults_and_descriptions() -> None:
    found = runtime_parameters_info(Sample(name="s"))
    assert entry(found, "factor") == {"name": "factor", "optional": False, "description": "Times that."}
    assert entry(found, "shift") == {"name": "shift", "optional": True}
    assert entry(found, "input_batch_size")["optional"] is True
    assert not [each for each in found if each["name"] in ("plain", "name", "input_mappings")]


def test_the_list_has_what_is_inside_of_a_parameter() -> None:
    found = runtime_parameters_info(Sample(name="s", options=Options(depth=1), late=[Late(), Late()]))
    assert entry(found, "options")["runtime_parameters_info"] == [{"name": "depth", "optional": False}]
    assert list(entry(found, "late")["runtime_parameters_info"]) == ["0", "1"]
    replicas = entry(entry(found, "resources")["runtime_parameters_info"], "replicas")
    assert replicas["optional"] is True


def test_the_list_has_the_known_options_of_an_llm() -> None:
    llm = entry(runtime_parameters_info(TextGeneration(name="s", llm=Choosy())), "llm")["runtime_parameters_info"]
    assert entry(llm, "style") == {"name": "style", "optional": False}
    assert entry(llm, "generation_kwargs")["keys"] == [
        {"name": "temperature", "optional": False},
        {"name": "top_p", "optional": True},
    ]


def test_a_generator_lists_its_batch_size() -> None:
    assert (
        entry(runtime_parameters_info(LoadDataFromDicts(name="l", data=[{"a": 1}])), "batch_size")["optional"] is True
    )


def test_a_step_that_waits_for_a_value_can_be_dumped_and_built_again() -> None:
    assert Sample.model_validate({"name": "s", **dump_parameters(Sample(name="s"))}).factor is None


def test_validators_of_the_class_still_run() -> None:
    class Strict(Sample):
        @field_validator("shift")
        @classmethod
        def _even(cls, value: int | None) -> int | None:
            assert value is None or value % 2 == 0, "odd"
            return value

    assert missing_runtime_parameters(Strict(name="s", shift=2)) == ["factor"]
    with pytest.raises(ValidationError, match="odd"):
        Strict(name="s", shift=1)


SPEC = """name: demo
steps:
  count: {type: "tests.support.steps.sample_functions:Numbers"}
  scale: {type: "tests.support.steps.sample_functions:Scale", after: count}
"""


def test_a_spec_that_lacks_a_value_is_refused_with_its_line_until_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    with pytest.raises(SpecError, match=r"spec.yaml:4: step 'scale' is missing its runtime parameter 'factor'"):
        prepare(tmp_path / "spec.yaml", allow=["tests"])
    assert prepare(tmp_path / "spec.yaml", ["scale.factor=3"], ["tests"]).steps["scale"].model_dump()["factor"] == 3


def test_info_shows_what_is_to_be_given(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    found = CliRunner().invoke(group, ["info", str(tmp_path / "spec.yaml"), "--allow", "tests"])
    assert found.exit_code == 0, found.output
    assert re.search(r"factor \*\s+required", found.output)
