"""Checks whose `common`, `coordinator` and `worker` are imported: the first on the path wins, and names may clash."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

OURS = Path(__file__).resolve().parent.parent


def foreign_package(*names: str) -> str | None:
    """The error if one of our packages would be imported from elsewhere; None if all are ours.

    Nothing is imported for it.
    """
    for name in names:
        found = find_spec(name)
        if found is None or found.origin is None or Path(found.origin).resolve().parent.parent != OURS:
            where = found.origin if found is not None and found.origin else "nowhere"
            return (
                f"the package '{name}' would be imported from {where}, not from {OURS}: a file or a folder of your own "
                "that is named common, worker or coordinator comes first on the path; rename it, or take it out of "
                "PYTHONPATH"
            )
    return None


def own_attribute(face: str, module: str, name: str) -> Any:
    """A name from one of our modules, for the module `face` that re-exports it.

    Raises:
        AttributeError: there is no such name; Python adds the nearest one of `face`.
        ImportError: the packages on the path are not ours.
    """
    unknown = AttributeError(f"module '{face}' has no attribute '{name}'")
    if name.startswith("__") and name != "__all__":  # such as __path__, which would import the files again
        raise unknown
    if problem := foreign_package("common", "coordinator"):
        raise ImportError(problem)
    found = import_module(module)
    if name != "__all__" and name not in dir(found):
        raise unknown
    return getattr(found, name)
