"""What step authors import: the kinds of steps and the built-in steps, each loaded when it is first used.

Type checkers read `__init__.pyi`, which is generated from this module.
"""

from __future__ import annotations

from common.naming.catalogue import STEP_KINDS, modules
from common.naming.lazy_names import LazyNames

_BASE = "common.steps.base"
_NAMES = LazyNames(
    __name__,
    {
        **dict.fromkeys(("AsyncStep", "GeneratorStep", "GlobalStep", "Step", "StepResources"), _BASE),
        **dict.fromkeys(("GeneratorStepOutput", "Row", "StepInput", "StepOutput"), _BASE),
        "GeneratorTask": "common.steps.tasks.generator_task",
        "Task": "common.steps.tasks.base",
        "task": "common.steps.tasks.function_task",
        "CudaDevicePlacementMixin": "common.building.cuda",
        "RuntimeParameter": "common.parameters.runtime_parameters",
        "RuntimeParametersMixin": "common.parameters.runtime_parameters",
        "make_generator_step": "common.steps.loading.generator_step",
        "requirements": "common.steps.required_packages",
        "step": "common.steps.decorator",
        **modules(*STEP_KINDS),
    },
)
__all__ = _NAMES.names()
__getattr__ = _NAMES.find
__dir__ = _NAMES.names
