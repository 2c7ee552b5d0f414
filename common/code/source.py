"""The identity of the code of a class or function: its own file, and those that its imports lead to.

Files are read, not run. Not seen are imports by a name computed at run time (`importlib`, `__import__`), compiled
modules, and other distributions, such as a library that the code calls.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.code.import_closure import ImportClosures
from common.code.import_names import importable_module
from common.location import OUR_PACKAGES

_FOREIGN = sys.stdlib_module_names | {"pydantic", "pydantic_core"}
_FIRST: Mapping[str, str] = {
    "LoadDataFromDicts": "0e2e0c9eeecab7e9",
    "LoadDataFromFile": "22e65e0e83a06074",
    "LoadDataFromDisk": "b21f07871869291d",
    "LoadDataFromHub": "f7eb43501b220c52",
    "DataSampler": "b8ef80a95f844367",
    "KeepColumns": "8886b896d31156da",
    "ExpandColumns": "3d527c340c285f61",
    "MergeColumns": "3ef83da0ddc7f878",
    "GroupColumns": "37821f1785e9df09",
    "CombineOutputs": "6f6239aba9f96dd1",
    "TruncateTextColumn": "4709efb7f4e17cb8",
    "MinHashDedup": "204c1705ad235809",
    "PushToHub": "d877166f24987d6d",
    "ConversationTemplate": "3bf00ccae8832d9e",
    "FormatTextGenerationSFT": "ab7b3a21b7896b04",
    "FormatChatGenerationSFT": "fb5a760b036dace4",
    "FormatTextGenerationDPO": "ceb5d9f997fc0088",
    "FormatChatGenerationDPO": "3eda32751cdbfd62",
    "TextGeneration": "f9560cf9ff78bc28",
    "OpenAILLM": "47f71316eadea640",
    "EchoLLM": "501c023fe8532970",
}
"""Digests of the first versions of built-in classes, from the time when their files counted, so that runs of that
time are resumed. Nothing is added here."""


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

        What comes with Python or pydantic does not count. Of Penstock's own classes the built-in ones count, by the
        version that they declare, wherever they stand; the contracts do not. So a run outlasts another release. A class
        without a file (typed at a prompt) is identified by its name. Names and contents count, not the place, so that
        it is the same on every host.
        """
        if cls not in self._digests:
            self._digests[cls] = self._of_first_version(cls) or self._of_mro(cls)
        return self._digests[cls]

    def of_classes(self, classes: Iterable[type]) -> list[str]:
        """The identity of several, independent of their order."""
        return sorted({self.of_class(cls) for cls in classes})

    def of_function(self, function: Callable[..., Any]) -> str:
        """As `of_class`, of a function."""
        module = importable_module(function.__module__, function.__qualname__)
        return hashlib.blake2b(self._code(function, module), digest_size=8).hexdigest()

    def _of_first_version(self, cls: type) -> str | None:
        return _FIRST.get(cls.__qualname__) if declared_version(cls) == 1 else None

    def _of_mro(self, cls: type) -> str:
        digest = hashlib.blake2b(digest_size=8)
        for base in cls.__mro__:
            if (version := declared_version(base)) is not None:
                digest.update(f"{base.__qualname__} {version}\0".encode())
            elif _top(base.__module__) not in {*OUR_PACKAGES, *_FOREIGN}:
                module = importable_module(base.__module__, base.__qualname__)
                digest.update(f"{module}:{base.__qualname__}\0".encode())
                digest.update(self._code(base, module))
        return digest.hexdigest()

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
        found = sorted(self._closures.of(module, file).items())
        return "".join(f"\0{name}\0{digest}" for name, digest in found).encode()


def declared_version(cls: type) -> int | None:
    """Of a built-in class: counts the changes of what it makes of the same rows. None for any other class."""
    version: int | None = vars(cls).get("_version") if _top(cls.__module__) in OUR_PACKAGES else None
    return version


def _top(module: str) -> str:
    return module.partition(".")[0]
