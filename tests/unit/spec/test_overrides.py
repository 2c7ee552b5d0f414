"""Parameters passed to a run, put into the data of a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.building.build import build_steps
from common.errors import SpecError
from common.llms import EchoLLM
from common.spec.overrides import apply_override, apply_parameters
from common.spec.spec import PipelineSpec


def spec() -> dict[str, Any]:
    return {
        "name": "demo",
        "steps": {
            "load": {"type": "LoadDataFromDicts", "data": [{"instruction": "a"}]},
            "generate": {
                "type": "TextGeneration",
                "after": "load",
                "llm": {"type": "EchoLLM", "prefix": "p", "generation_kwargs": {"seed": 1}},
            },
        },
    }


def changed(**parameters: Any) -> dict[str, Any]:
    data = spec()
    apply_parameters(data, parameters)
    steps: dict[str, Any] = data["steps"]
    return steps


def build(steps: dict[str, Any]) -> None:
    build_steps(PipelineSpec.from_dict({"name": "demo", "steps": steps}), base_dir=Path("/"))


def test_mappings_are_merged_to_any_depth() -> None:
    llm = changed(generate={"llm": {"latency": 1, "generation_kwargs": {"temperature": 0.5}}})["generate"]["llm"]
    assert llm == {
        "type": "EchoLLM",
        "prefix": "p",
        "latency": 1,
        "generation_kwargs": {"seed": 1, "temperature": 0.5},
    }


def test_what_the_spec_does_not_have_yet_is_made() -> None:
    assert changed(load={"resources": {"replicas": 2}})["load"]["resources"] == {"replicas": 2}


def test_a_list_takes_the_place_of_the_one_there() -> None:
    assert changed(load={"data": [{"instruction": "b"}]})["load"]["data"] == [{"instruction": "b"}]


def test_an_index_leads_into_a_list() -> None:
    data = {"name": "demo", "steps": {"s": {"type": "T", "parts": [{"depth": 1}, {"depth": 2}]}}}
    apply_parameters(data, {"s": {"parts": {"1": {"depth": 5}}}})
    assert data["steps"]["s"]["parts"] == [{"depth": 1}, {"depth": 5}]
    assert apply_override(data, "s.parts.0.depth=7")[1] == ("steps", "s", "parts", 0, "depth")
    assert data["steps"]["s"]["parts"] == [{"depth": 7}, {"depth": 5}]
    with pytest.raises(SpecError, match="'2' is not an index of a list of 2"):
        apply_override(data, "s.parts.2.depth=7")


def test_an_llm_of_another_type_takes_the_place_of_the_one_there() -> None:
    llm = changed(generate={"llm": {"type": "OpenAILLM", "model": "m"}})["generate"]["llm"]
    assert llm == {"type": "OpenAILLM", "model": "m"}


def test_the_data_of_the_caller_is_left_alone() -> None:
    given = spec()
    kwargs = given["steps"]["generate"]["llm"]["generation_kwargs"]
    apply_parameters(given, {"generate": {"llm": {"generation_kwargs": {"a": 1}}}})
    assert kwargs == {"seed": 1}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"generat": {}}, "parameters: there is no step 'generat'; did you mean 'generate'?"),
        ({"generate": 3}, "parameters: those of step 'generate' must be a mapping, not 3"),
        ({"generate": {"after": "x"}}, "parameters: 'after' of step 'generate' is not a parameter"),
        ({"generate": {"llm": EchoLLM()}}, "'generate.llm' is a EchoLLM; give its parameters as a mapping"),
    ],
)
def test_what_is_no_parameter_is_refused(parameters: Any, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        apply_parameters(spec(), parameters)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"temprature": 1}, "TextGeneration has no parameter 'temprature'"),
        ({"colums": ["a"]}, "TextGeneration has no parameter 'colums'; did you mean 'columns'?"),
        ({"llm": {"latancy": 1}}, "TextGeneration has no parameter 'llm.latancy'; did you mean 'latency'?"),
        (
            {"resources": {"replcas": 2}},
            "has no parameter 'resources.replcas'; did you mean 'replicas'?",
        ),
    ],
)
def test_an_unknown_parameter_is_found_when_the_step_is_built(parameters: Any, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        build(changed(generate=parameters))
    assert said in caught.value.message
