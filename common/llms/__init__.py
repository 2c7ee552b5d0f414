"""Clients of language models, each loaded when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from common.cuda import CudaDevicePlacementMixin
    from common.llms.base import LLM, ChatMessage, Generation
    from common.llms.echo import EchoLLM
    from common.llms.openai import OpenAILLM

__all__ = ["LLM", "ChatMessage", "CudaDevicePlacementMixin", "EchoLLM", "Generation", "OpenAILLM"]

_ELSEWHERE = {
    "CudaDevicePlacementMixin": "common.cuda",
    "EchoLLM": "common.llms.echo",
    "OpenAILLM": "common.llms.openai",
}
"""Module of each name that `common.llms.base` does not have."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'common.llms' has no attribute '{name}'")
    return getattr(import_module(_ELSEWHERE.get(name, "common.llms.base")), name)


def __dir__() -> list[str]:
    return __all__
