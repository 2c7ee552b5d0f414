"""The control plane: folds the journal of a run and decides what happens next. Programs import `penstock` instead."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from common.errors import RunFailed, RunStopped
    from common.routing import RoutingBatchFunction, routing_batch_function, sample_n_steps
    from coordinator.dataset.distiset import Distiset
    from coordinator.launch.pipeline import Pipeline

__all__ = [
    "Distiset",
    "Pipeline",
    "RoutingBatchFunction",
    "RunFailed",
    "RunStopped",
    "routing_batch_function",
    "sample_n_steps",
]

_WHERE = {
    "Distiset": "coordinator.dataset.distiset",
    "Pipeline": "coordinator.launch.pipeline",
    "RoutingBatchFunction": "common.routing",
    "RunFailed": "common.errors",
    "RunStopped": "common.errors",
    "routing_batch_function": "common.routing",
    "sample_n_steps": "common.routing",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'coordinator' has no attribute '{name}'")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return __all__
