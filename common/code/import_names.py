"""The names under which other processes import objects defined here, and the imports of such names.

A script that is run is the module `__main__` in its own process, and a module of its file's name in a worker's. Names
are those of the worker; in the process of the script they lead to the script itself, not to a second copy of it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType

from common.errors import UsageError

_importing: ContextVar[str] = ContextVar("importing", default="")


def import_name(target: type | Callable[..., object]) -> str:
    """`module:qualified.name` of a class or function.

    Raises:
        UsageError: no other process can import it; says what to do.
    """
    name = target.__qualname__
    if "<" in name:
        what = "is a lambda" if "<lambda>" in name else "is defined inside a function"
        raise UsageError(
            f"'{name}' {what}, where no worker can import it: define it at the top level of a module or of the script"
        )
    return f"{importable_module(target.__module__, name)}:{name}"


def importable_module(module: str, about: str) -> str:
    """The name of a loaded module in other processes; `about` is the subject of the error.

    Raises:
        UsageError: it is a notebook or a prompt.
    """
    if module != "__main__":
        return module
    if (script := script_module()) is None:
        raise UsageError(
            f"'{about}' is defined in a notebook or at a prompt, where no worker can import it: move it into a module "
            "(mysteps.py beside the notebook) and import it from there"
        )
    return script


def script_module() -> str | None:
    """The name under which workers import the running script; None for a notebook or a prompt."""
    main = sys.modules["__main__"]
    if spec := getattr(main, "__spec__", None):  # python -m package.module
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).stem if file and Path(file).suffix == ".py" else None


def import_by_name(module: str) -> ModuleType:
    """Imports a module; the running script is found as it is, not run a second time."""
    if module == script_module():
        return sys.modules["__main__"]
    with _marked(module):
        return importlib.import_module(module)


def imported_for_a_step() -> str:
    """The module that `import_by_name` is importing now; empty if none."""
    return _importing.get()


@contextmanager
def _marked(module: str) -> Iterator[None]:
    token = _importing.set(module)
    try:
        yield
    finally:
        _importing.reset(token)
