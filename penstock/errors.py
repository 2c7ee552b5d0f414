"""The errors that programs catch, and that steps and model clients raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.own_packages import own_attribute

if TYPE_CHECKING:
    from common.errors import PenstockError, RowError, RunError, RunFailed, RunStopped, SpecError, UsageError

__all__ = ["PenstockError", "RowError", "RunError", "RunFailed", "RunStopped", "SpecError", "UsageError"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'penstock.errors' has no attribute '{name}'")
    return own_attribute(__name__, "common.errors", name)


def __dir__() -> list[str]:
    return __all__
