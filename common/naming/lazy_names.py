"""Names of a package that other modules define; each module is imported when its name is first used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class LazyNames:
    """The names that a package provides.

    Args:
        package: its name.
        modules: name -> the module that defines it.
    """

    package: str
    modules: Mapping[str, str]

    def find(self, name: str) -> Any:
        """The `__getattr__` of the package. Raises AttributeError for an unknown name."""
        if name not in self.modules:
            raise AttributeError(f"module '{self.package}' has no attribute '{name}'")
        return getattr(import_module(self.modules[name]), name)

    def names(self) -> list[str]:
        """The `__dir__` and `__all__` of the package."""
        return sorted(self.modules)
