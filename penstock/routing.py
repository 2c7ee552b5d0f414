"""Routing batch functions, for programs and users' modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.own_packages import own_attribute

if TYPE_CHECKING:
    from common.routing import RoutingBatchFunction, routing_batch_function, sample_n_steps

__all__ = ["RoutingBatchFunction", "routing_batch_function", "sample_n_steps"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'penstock.routing' has no attribute '{name}'")
    return own_attribute(__name__, "common.routing", name)


def __dir__() -> list[str]:
    return __all__
