"""What programs and steps import: the public part of Penstock, under a unique name.

`penstock.steps`, `penstock.llms`, `penstock.routing` and `penstock.errors` have the rest. Each name is the same object
as in `common` and `coordinator`, and is imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.own_packages import own_attribute

if TYPE_CHECKING:
    from common.errors import RunFailed, RunStopped
    from common.routing import RoutingBatchFunction, routing_batch_function, sample_n_steps
    from common.steps.base import StepResources
    from common.steps.decorator import step
    from common.steps.loading.generator_step import make_generator_step
    from coordinator.dataset.distiset import Distiset
    from coordinator.launch.pipeline import Pipeline

__all__ = [
    "Distiset",
    "Pipeline",
    "RoutingBatchFunction",
    "RunFailed",
    "RunStopped",
    "StepResources",
    "make_generator_step",
    "routing_batch_function",
    "sample_n_steps",
    "step",
]
_OF_STEPS = ("StepResources", "make_generator_step", "step")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'penstock' has no attribute '{name}'")
    return own_attribute(__name__, "common.steps" if name in _OF_STEPS else "coordinator", name)


def __dir__() -> list[str]:
    return __all__
