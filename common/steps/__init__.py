"""What step authors import: the kinds of steps and the built-in ones, each loaded when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from common.steps.base import (
        AsyncStep,
        GeneratorStep,
        GeneratorStepOutput,
        GlobalStep,
        Row,
        RuntimeParameter,
        Step,
        StepInput,
        StepOutput,
        StepResources,
    )
    from common.steps.columns import CombineOutputs, ExpandColumns, GroupColumns, KeepColumns
    from common.steps.data import LoadDataFromDicts
    from common.steps.files import LoadDataFromFile
    from common.steps.tasks.text_generation import TextGeneration

__all__ = [
    "AsyncStep",
    "CombineOutputs",
    "ExpandColumns",
    "GeneratorStep",
    "GeneratorStepOutput",
    "GlobalStep",
    "GroupColumns",
    "KeepColumns",
    "LoadDataFromDicts",
    "LoadDataFromFile",
    "Row",
    "RuntimeParameter",
    "Step",
    "StepInput",
    "StepOutput",
    "StepResources",
    "TextGeneration",
]

_ELSEWHERE = {
    "CombineOutputs": "common.steps.columns",
    "ExpandColumns": "common.steps.columns",
    "GroupColumns": "common.steps.columns",
    "KeepColumns": "common.steps.columns",
    "LoadDataFromDicts": "common.steps.data",
    "LoadDataFromFile": "common.steps.files",
    "TextGeneration": "common.steps.tasks.text_generation",
}
"""Module of each name that `common.steps.base` does not have."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'common.steps' has no attribute '{name}'")
    return getattr(import_module(_ELSEWHERE.get(name, "common.steps.base")), name)


def __dir__() -> list[str]:
    return __all__
