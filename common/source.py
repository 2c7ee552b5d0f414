"""What identifies the code of a class or a function: its own file, and those that its imports lead to.

Files are read, not run. What is imported by a name that only the running code knows (`importlib`, `__import__`) is not
seen, nor is a compiled module, nor what other distributions hold, such as a library that the code calls.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from common.import_names import importable_module
from common.location import INSTALLED, OUR_PACKAGES

_CONTRACTS = frozenset(
    {"common.cuda", "common.llms.base", "common.runtime_parameters", "common.steps.base", "common.steps.graph"}
)
_FOREIGN = sys.stdlib_module_names | {"pydantic", "pydantic_core"}


def source_digest(cls: type) -> str:
    """Identifies the code of a class: 16 hex digits over the files of the class and of its bases, and those that they
    import from the folder that their top-level modules are in, or, where they are installed, from their distribution.

    The contracts of Penstock and what comes with Python or pydantic do not count; of Penstock's own classes their files
    alone do, so that a run outlasts another release. A class without a file (typed at a prompt) is identified by its
    name. Names and contents count, not the place, so that it is the same on every host.
    """
    digest = hashlib.blake2b(digest_size=8)
    for base in cls.__mro__:
        if base.__module__ in _CONTRACTS or base.__module__.partition(".")[0] in _FOREIGN:
            continue
        module = importable_module(base.__module__, base.__qualname__)
        digest.update(f"{module}:{base.__qualname__}\0".encode())
        digest.update(_code(base, module))
    return digest.hexdigest()


def function_digest(function: Callable[..., Any]) -> str:
    """As `source_digest`, of a function."""
    module = importable_module(function.__module__, function.__qualname__)
    return hashlib.blake2b(_code(function, module), digest_size=8).hexdigest()


def _code(target: Any, module: str) -> bytes:
    try:
        file = Path(inspect.getfile(target))
        content = file.read_bytes()
    except (TypeError, OSError):
        return repr(target.__qualname__).encode()
    if module.partition(".")[0] in OUR_PACKAGES:
        return content
    return content + "".join(f"\0{name}\0{digest}" for name, digest in sorted(_closure(module, file).items())).encode()


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where imports are followed.

    Args:
        root: the folder that top-level modules are in.
        tops: those that count; None for all that are there.
    """

    root: Path
    tops: frozenset[str] | None

    def files(self, name: str) -> Iterator[tuple[str, Path]]:
        """The modules that importing `name`, whose end may be no module, runs: (name, file)."""
        top, *_ = parts = name.split(".")
        if top in OUR_PACKAGES or (self.tops is not None and top not in self.tops):
            return
        folder = self.root
        for count, part in enumerate(parts, start=1):
            module, package = folder / f"{part}.py", folder / part
            if (package / "pyvenv.cfg").exists():
                return
            if (package / "__init__.py").is_file():
                yield ".".join(parts[:count]), package / "__init__.py"
            elif module.is_file():
                yield ".".join(parts[:count]), module
                return
            elif not package.is_dir():
                return
            folder = package


def _closure(module: str, file: Path) -> dict[str, str]:
    """Module -> digest of its content, of all that `module` imports within its scope; without `module` itself."""
    scope = _scope(module, file)
    found: dict[str, str] = {}
    seen = {file}
    waiting = [(module, file)]
    while waiting:
        name, path = waiting.pop()
        try:
            stat = path.stat()
            read = _read(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            continue
        if path != file:
            found[name] = read.digest
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for target in (*_parents(name), *read.imports(package)):
            for reached in scope.files(target):
                if reached[1] not in seen:
                    seen.add(reached[1])
                    waiting.append(reached)
    return found


def _parents(name: str) -> tuple[str, ...]:
    """The package that a module is in is run before it."""
    package = name.rpartition(".")[0]
    return (package,) if package else ()


def _scope(module: str, file: Path) -> _Scope:
    parts = module.split(".")
    own = file.parent if file.name == "__init__.py" else file.with_suffix("")
    matches = own.parts[-len(parts) :] == tuple(parts)
    root = own.parents[len(parts) - 1] if matches else file.parent
    if not any(part in INSTALLED for part in root.parts):
        return _Scope(root, None)
    return _Scope(root, _tops_beside(parts[0]))


@cache
def _tops_beside(top: str) -> frozenset[str]:
    """The top-level modules of the distributions that have this one."""
    known = packages_distributions()
    mine = set(known.get(top, ()))
    return frozenset({top, *(name for name, dists in known.items() if mine.intersection(dists))})


@dataclass(frozen=True, slots=True)
class _Read:
    """A file, read.

    Args:
        statements: of its imports, anywhere in it: (dots, module, names).
    """

    digest: str
    statements: tuple[tuple[int, str, tuple[str, ...]], ...]

    def imports(self, package: str) -> Iterator[str]:
        """Absolute names, which may have a name at their end that is no module.

        Args:
            package: that relative imports start from; empty for a top-level module.
        """
        for dots, module, names in self.statements:
            above = package.split(".") if package else []
            if dots > len(above):
                continue  # beyond the top: it raises when it is run
            start = ".".join(above[: len(above) - dots + 1]) if dots else ""
            base = ".".join(filter(None, (start, module)))
            yield from (f"{base}.{name}" if base else name for name in names) if names else (base,)


@lru_cache(maxsize=10_000)
def _read(path: Path, *_: int) -> _Read:
    """Reads and parses a file once for each state of it."""
    content = path.read_bytes()
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _Read(digest, ())
    statements: list[tuple[int, str, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            statements += [(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            statements.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return _Read(digest, tuple(statements))
