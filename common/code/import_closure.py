"""The files that the imports of a module lead to; files are read, not run."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from common.code.scope import Folders, Scope, Scopes

Module = tuple[str, Path]
"""Its name and its file."""


@dataclass(frozen=True, slots=True)
class ImportClosures:
    """The closures of modules, from their files at the first request; each is read and followed once."""

    _scopes: Scopes = field(default_factory=Scopes)
    _folders: Folders = field(default_factory=Folders)
    _files: dict[Path, _File | None] = field(default_factory=dict)
    _reached: dict[tuple[Scope, str], tuple[Module, ...]] = field(default_factory=dict)
    _leads_to: dict[tuple[Scope, Module], tuple[Module, ...]] = field(default_factory=dict)

    def of(self, module: str, file: Path) -> dict[str, str]:
        """Module -> digest of its content, for everything that `module` imports within its scope, except itself."""
        scope = self._scopes.of(module, file)
        found: dict[str, str] = {}
        seen = {file}
        waiting = [(module, file)]
        while waiting:
            name, path = waiting.pop()
            if (read := self._read(path)) is None:
                continue
            if path != file:
                found[name] = read.digest
            for reached in self._next(scope, (name, path), read):
                if reached[1] not in seen:
                    seen.add(reached[1])
                    waiting.append(reached)
        return found

    def _next(self, scope: Scope, module: Module, read: _File) -> tuple[Module, ...]:
        """The modules that this one imports directly."""
        if (known := self._leads_to.get((scope, module))) is not None:
            return known
        name, path = module
        above = name.rpartition(".")[0]
        targets = {*read.imports(name if path.name == "__init__.py" else above), *([above] if above else [])}
        found = dict.fromkeys(reached for target in targets for reached in self._modules(scope, target))
        return self._leads_to.setdefault((scope, module), tuple(found))

    def _modules(self, scope: Scope, target: str) -> tuple[Module, ...]:
        key = scope, target
        if key not in self._reached:
            self._reached[key] = tuple(scope.modules(target, self._folders))
        return self._reached[key]

    def _read(self, path: Path) -> _File | None:
        if path not in self._files:
            self._files[path] = _file(path)
        return self._files[path]


@dataclass(frozen=True, slots=True)
class _File:
    """A parsed file.

    Args:
        statements: of its imports, anywhere in it: (dots, module, names).
    """

    digest: str
    statements: tuple[tuple[int, str, tuple[str, ...]], ...]

    def imports(self, package: str) -> Iterator[str]:
        """Absolute names; their last part may not be a module.

        Args:
            package: that relative imports start from; empty for a top-level module.
        """
        for dots, module, names in self.statements:
            above = package.split(".") if package else []
            if dots > len(above):
                continue  # beyond the top: it raises when run
            start = ".".join(above[: len(above) - dots + 1]) if dots else ""
            base = ".".join(filter(None, (start, module)))
            yield from (f"{base}.{name}" if base else name for name in names) if names else (base,)


def _file(path: Path) -> _File | None:
    """Its current state; None if it cannot be read."""
    try:
        stat = path.stat()
        return _parsed(path, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
    except OSError:
        return None


@lru_cache(maxsize=10_000)
def _parsed(path: Path, *_: int) -> _File:
    """Parses a file once per state, even in a process that runs several pipelines."""
    content = path.read_bytes()
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _File(digest, ())
    return _File(digest, tuple(_imports(tree)))


def _imports(tree: ast.Module) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Visits only statements, at any depth: no expression contains an import."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(alias.name for alias in node.names)
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, block, None)
            if isinstance(inner, list):
                waiting += inner
