"""The GPUs that a step declares."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from common.building.cuda import DevicesWanted, devices_wanted
from common.building.signature import run_signature
from common.errors import SpecError
from common.llms import LLM, ChatMessage, CudaDevicePlacementMixin, Generation
from common.spec.spec import PipelineSpec
from common.steps import Step, StepInput, StepOutput, TextGeneration
from coordinator.plan.load import prepare


class LocalLLM(LLM, CudaDevicePlacementMixin):
    """An LLM that would run on GPUs."""

    @property
    def model_name(self) -> str:
        return "local"

    async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
        return Generation("text")


class Embed(Step, CudaDevicePlacementMixin):
    """A step that would run on GPUs."""

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs


class Plain(Step):
    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs


@pytest.mark.parametrize(
    ("gpus", "llm", "expected"),
    [
        (0, {}, 1),
        (2, {}, 2),
        (0, {"cuda_devices": [1]}, [1]),
        (2, {"cuda_devices": [3, 1]}, [3, 1]),
        (2, {"disable_cuda_device_placement": True}, 0),
        (0, {"disable_cuda_device_placement": True, "cuda_devices": [1]}, 0),
    ],
)
def test_a_step_takes_what_its_llm_runs_on(gpus: int, llm: dict[str, Any], expected: DevicesWanted) -> None:
    step = TextGeneration(name="generate", llm=LocalLLM(**llm), resources={"gpus": gpus})
    assert devices_wanted(step) == expected


@pytest.mark.parametrize(("gpus", "expected"), [(0, 0), (1, 1), (4, 4)])
def test_a_step_without_the_mixin_takes_as_many_as_its_resources_say(gpus: int, expected: int) -> None:
    assert devices_wanted(Plain(name="plain", resources={"gpus": gpus})) == expected


def test_a_step_itself_may_have_the_mixin() -> None:
    assert devices_wanted(Embed(name="embed")) == 1
    assert devices_wanted(Embed(name="embed", cuda_devices=[0, 2])) == [0, 2]


@pytest.mark.parametrize("devices", [[], [0, 0], [-1], "all"])
def test_devices_that_cannot_be_meant_are_refused(devices: Any) -> None:
    with pytest.raises(ValidationError):
        Embed(name="embed", cuda_devices=devices)


def test_resources_and_devices_that_contradict_each_other_are_an_error_with_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "gpusteps.py").write_text(
        "from common.steps import CudaDevicePlacementMixin, Step, StepInput\n"
        "class Embed(Step, CudaDevicePlacementMixin):\n"
        "    def process(self, inputs: StepInput):\n        yield inputs\n"
    )
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: gpus\nsteps:\n"
        "  load: {type: LoadDataFromDicts, data: [{n: 1}]}\n"
        "  embed:\n    type: gpusteps:Embed\n    after: load\n    cuda_devices: [0]\n    resources: {gpus: 2}\n"
    )
    with pytest.raises(SpecError) as raised:
        prepare(spec)
    assert str(raised.value) == (
        f"{spec}:8: step 'embed': resources.gpus is 2, and cuda_devices names 1 (0); remove one of the two"
    )


def test_devices_are_no_part_of_the_signature() -> None:
    def signature(**llm: Any) -> str:
        step = TextGeneration(name="generate", llm=LocalLLM(**llm))
        spec = PipelineSpec.from_dict({"name": "p", "steps": {"generate": {"type": "TextGeneration", "llm": llm}}})
        return run_signature(spec, {"generate": step}, {}, {})

    assert signature() == signature(cuda_devices=[1]) == signature(disable_cuda_device_placement=True)
    assert signature() != signature(generation_kwargs={"temperature": 1})
