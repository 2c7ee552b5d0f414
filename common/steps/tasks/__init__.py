"""Steps that ask a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from common.steps.tasks.text_generation import TextGeneration

__all__ = ["TextGeneration"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'common.steps.tasks' has no attribute '{name}'")
    from common.steps.tasks import text_generation

    return getattr(text_generation, name)
