"""Names of a package that stand in other modules, each of which is imported when its name is first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class LazyNames:
    """What a package offers.

    Args:
        package: its name.
        modules: name -> the module that has it.
    """

    package: str
    modules: Mapping[str, str]

    def find(self, name: str) -> Any:
        """As `__getattr__` of the package. Raises AttributeError: it has no such name."""
        if name not in self.modules:
            raise AttributeError(f"module '{self.package}' has no attribute '{name}'")
        return getattr(import_module(self.modules[name]), name)

    def names(self) -> list[str]:
        """As `__dir__` and `__all__` of the package."""
        return sorted(self.modules)
