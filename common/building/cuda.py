"""The GPUs that a step asks for: `resources.gpus`, and `cuda_devices` of the step or its LLM."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, field_validator

from common.building.components import components
from common.errors import SpecFault
from common.parameters.runtime_parameters import RuntimeOption
from common.steps.base import BaseStep

DevicesWanted = int | list[int]
"""A number of devices, or specific ones."""


class CudaDevicePlacementMixin(BaseModel):
    """For a step or an LLM that runs on GPUs: `class MyLLM(LLM, CudaDevicePlacementMixin)`.

    The worker reserves the devices and sets CUDA_VISIBLE_DEVICES before it calls `load`, in which they are `cuda:0`,
    `cuda:1` and so on.
    """

    cuda_devices: RuntimeOption[Literal["auto"] | list[int]] = Field(
        default="auto",
        description="Devices of the host to run on, as numbered by nvidia-smi; auto: any resources.gpus, or 1.",
    )
    disable_cuda_device_placement: RuntimeOption[bool] = Field(
        default=False, description="Take no devices and leave CUDA_VISIBLE_DEVICES unchanged."
    )

    @field_validator("cuda_devices")
    @classmethod
    def _are_devices(cls, value: Literal["auto"] | list[int]) -> Literal["auto"] | list[int]:
        if value != "auto" and (not value or len(set(value)) < len(value) or min(value) < 0):
            raise ValueError("give auto, or the numbers of one or more devices, each once")
        return value


def devices_wanted(step: BaseStep) -> DevicesWanted:
    """The devices that a worker takes before it loads the step; 0 for a step that uses none.

    Raises:
        SpecFault: `resources.gpus` and `cuda_devices` contradict each other.
    """
    placed = [model for _, model in components(step) if isinstance(model, CudaDevicePlacementMixin)]
    on = [model for model in placed if not model.disable_cuda_device_placement]
    if placed and not on:
        return 0
    named = list(dict.fromkeys(device for model in on if model.cuda_devices != "auto" for device in model.cuda_devices))
    gpus = step.resources.gpus
    if named and gpus not in (0, len(named)):
        raise SpecFault(
            f"step '{step.name}': resources.gpus is {gpus}, and cuda_devices names {len(named)} "
            f"({', '.join(map(str, named))}); remove one of the two",
            ("steps", step.name, "resources", "gpus"),
        )
    return named or max(gpus, 1 if on else 0)
