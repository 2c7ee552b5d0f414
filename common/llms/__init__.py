"""Clients of language models, each loaded when it is first used.

Type checkers read `__init__.pyi`, which is generated from this module.
"""

from __future__ import annotations

from common.naming.catalogue import modules
from common.naming.lazy_names import LazyNames

_NAMES = LazyNames(
    __name__,
    {
        **dict.fromkeys(("LLM", "ChatMessage", "GenerateOutput", "Generation"), "common.llms.base"),
        "CudaDevicePlacementMixin": "common.building.cuda",
        **modules("LLM"),
    },
)
__all__ = _NAMES.names()
__getattr__ = _NAMES.find
__dir__ = _NAMES.names
