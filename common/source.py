"""What identifies the code of a class or a function: its own file, and those that its imports lead to.

Files are read, not run. What is imported by a name that only the running code knows (`importlib`, `__import__`) is not
seen, nor is a compiled module, nor what other distributions hold, such as a library that the code calls.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.import_closure import ImportClosures
from common.import_names import importable_module
from common.location import OUR_PACKAGES

_CONTRACTS = frozenset(
    {
        "common.cuda",
        "common.llms.base",
        "common.registry",
        "common.runtime_parameters",
        "common.steps.base",
        "common.steps.graph",
    }
)
_FOREIGN = sys.stdlib_module_names | {"pydantic", "pydantic_core"}


@dataclass(frozen=True, slots=True)
class Sources:
    """The code of classes and functions as it is when it is first asked for. A start of a run or of a worker has one,
    so that what several classes import is read once.
    """

    _closures: ImportClosures = field(default_factory=ImportClosures)
    _digests: dict[type, str] = field(default_factory=dict)
    _codes: dict[tuple[str, Path], bytes] = field(default_factory=dict)

    def of_class(self, cls: type) -> str:
        """Identifies the code of a class: 16 hex digits over the files of the class and of its bases, and those that
        they import from the folder that their top-level modules are in, or, where they are installed, from their
        distribution. A checkout and an installation of the same code have the same digest.

        The contracts of Penstock and what comes with Python or pydantic do not count; of Penstock's own classes their
        files alone do, so that a run outlasts another release. A class without a file (typed at a prompt) is
        identified by its name. Names and contents count, not the place, so that it is the same on every host.
        """
        if cls not in self._digests:
            digest = hashlib.blake2b(digest_size=8)
            for base in cls.__mro__:
                if base.__module__ in _CONTRACTS or base.__module__.partition(".")[0] in _FOREIGN:
                    continue
                module = importable_module(base.__module__, base.__qualname__)
                digest.update(f"{module}:{base.__qualname__}\0".encode())
                digest.update(self._code(base, module))
            self._digests[cls] = digest.hexdigest()
        return self._digests[cls]

    def of_classes(self, classes: Iterable[type]) -> list[str]:
        """Of each, in an order that does not depend on theirs."""
        return sorted({self.of_class(cls) for cls in classes})

    def of_function(self, function: Callable[..., Any]) -> str:
        """As `of_class`, of a function."""
        module = importable_module(function.__module__, function.__qualname__)
        return hashlib.blake2b(self._code(function, module), digest_size=8).hexdigest()

    def _code(self, target: Any, module: str) -> bytes:
        try:
            file = Path(inspect.getfile(target))
            key = module, file
            if key not in self._codes:
                self._codes[key] = file.read_bytes() + self._imported(module, file)
            return self._codes[key]
        except (TypeError, OSError):
            return repr(target.__qualname__).encode()

    def _imported(self, module: str, file: Path) -> bytes:
        if module.partition(".")[0] in OUR_PACKAGES:
            return b""
        found = sorted(self._closures.of(module, file).items())
        return "".join(f"\0{name}\0{digest}" for name, digest in found).encode()
