"""What step authors import: the kinds of steps and the built-in ones, each loaded when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from common.cuda import CudaDevicePlacementMixin
    from common.requirements import requirements
    from common.runtime_parameters import RuntimeParameter, RuntimeParametersMixin
    from common.steps.base import (
        AsyncStep,
        GeneratorStep,
        GeneratorStepOutput,
        GlobalStep,
        Row,
        Step,
        StepInput,
        StepOutput,
        StepResources,
    )
    from common.steps.columns import CombineOutputs, ExpandColumns, GroupColumns, KeepColumns, MergeColumns
    from common.steps.conversations import ConversationTemplate, FormatChatGenerationSFT, FormatTextGenerationSFT
    from common.steps.data import LoadDataFromDicts
    from common.steps.data_sampler import DataSampler
    from common.steps.decorator import step
    from common.steps.disk import LoadDataFromDisk
    from common.steps.files import LoadDataFromFile
    from common.steps.generator_step import make_generator_step
    from common.steps.hub import LoadDataFromHub, PushToHub
    from common.steps.minhash import MinHashDedup
    from common.steps.preferences import FormatChatGenerationDPO, FormatTextGenerationDPO
    from common.steps.tasks.text_generation import TextGeneration
    from common.steps.truncate import TruncateTextColumn

__all__ = [
    "AsyncStep",
    "CombineOutputs",
    "ConversationTemplate",
    "CudaDevicePlacementMixin",
    "DataSampler",
    "ExpandColumns",
    "FormatChatGenerationDPO",
    "FormatChatGenerationSFT",
    "FormatTextGenerationDPO",
    "FormatTextGenerationSFT",
    "GeneratorStep",
    "GeneratorStepOutput",
    "GlobalStep",
    "GroupColumns",
    "KeepColumns",
    "LoadDataFromDicts",
    "LoadDataFromDisk",
    "LoadDataFromFile",
    "LoadDataFromHub",
    "MergeColumns",
    "MinHashDedup",
    "PushToHub",
    "Row",
    "RuntimeParameter",
    "RuntimeParametersMixin",
    "Step",
    "StepInput",
    "StepOutput",
    "StepResources",
    "TextGeneration",
    "TruncateTextColumn",
    "make_generator_step",
    "requirements",
    "step",
]

_ELSEWHERE = {
    "CombineOutputs": "common.steps.columns",
    "ConversationTemplate": "common.steps.conversations",
    "CudaDevicePlacementMixin": "common.cuda",
    "DataSampler": "common.steps.data_sampler",
    "ExpandColumns": "common.steps.columns",
    "FormatChatGenerationDPO": "common.steps.preferences",
    "FormatChatGenerationSFT": "common.steps.conversations",
    "FormatTextGenerationDPO": "common.steps.preferences",
    "FormatTextGenerationSFT": "common.steps.conversations",
    "GroupColumns": "common.steps.columns",
    "KeepColumns": "common.steps.columns",
    "LoadDataFromDicts": "common.steps.data",
    "LoadDataFromDisk": "common.steps.disk",
    "LoadDataFromFile": "common.steps.files",
    "LoadDataFromHub": "common.steps.hub",
    "MergeColumns": "common.steps.columns",
    "MinHashDedup": "common.steps.minhash",
    "PushToHub": "common.steps.hub",
    "RuntimeParameter": "common.runtime_parameters",
    "RuntimeParametersMixin": "common.runtime_parameters",
    "TextGeneration": "common.steps.tasks.text_generation",
    "TruncateTextColumn": "common.steps.truncate",
    "make_generator_step": "common.steps.generator_step",
    "requirements": "common.requirements",
    "step": "common.steps.decorator",
}
"""Module of each name that `common.steps.base` does not have."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'common.steps' has no attribute '{name}'")
    return getattr(import_module(_ELSEWHERE.get(name, "common.steps.base")), name)


def __dir__() -> list[str]:
    return __all__
