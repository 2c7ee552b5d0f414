"""Steps that ask a language model, each loaded when it is first asked for.

Type checkers read `__init__.pyi`, which is written from this.
"""

from __future__ import annotations

from common.naming.catalogue import modules
from common.naming.lazy_names import LazyNames

_NAMES = LazyNames(
    __name__,
    {
        "Answer": "common.steps.tasks.answer",
        "Example": "common.steps.tasks.examples",
        "GeneratorTask": "common.steps.tasks.generator_task",
        "Task": "common.steps.tasks.base",
        "task": "common.steps.tasks.function_task",
        **modules("task"),
    },
)
__all__ = _NAMES.names()
__getattr__ = _NAMES.find
__dir__ = _NAMES.names
