"""Clients of embedding models, each loaded when it is first used.

Type checkers read `__init__.pyi`, which is generated from this module.
"""

from __future__ import annotations

from common.naming.catalogue import modules
from common.naming.lazy_names import LazyNames

_NAMES = LazyNames(__name__, {"Embeddings": "common.llms.embeddings.base", **modules("embeddings")})
__all__ = _NAMES.names()
__getattr__ = _NAMES.find
__dir__ = _NAMES.names
