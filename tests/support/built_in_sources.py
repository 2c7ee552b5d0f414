"""What the golden file says of built-in classes: the source that each had at each of its versions.

A change that makes other rows of the same input bumps `_version` of the class. One that does not is
waived, with a reason:

python -m tests.support.built_in_sources [--waive REASON]
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import getfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from common.building.cuda import CudaDevicePlacementMixin
from common.code.source import declared_version
from common.llms.base import LLM
from common.llms.embeddings.base import Embeddings
from common.location import OUR_PACKAGES
from common.naming.catalogue import CATALOGUE
from common.steps.base import AsyncStep, GeneratorStep, GlobalStep

IMPORTED_FROM = re.compile(r"^\s*from \S+ (?=import )")
GOLDEN = Path(__file__).with_name("built_in_sources.json")
CONTRACTS = {
    base
    for cls in (AsyncStep, GeneratorStep, GlobalStep, LLM, Embeddings, CudaDevicePlacementMixin)
    for base in cls.__mro__
}


def built_in_classes() -> dict[str, type]:
    """Name -> class, of all that the catalogue has."""
    found = {entry.name: getattr(import_module(entry.module), entry.name) for entry in CATALOGUE}
    return {name: each for name, each in found.items() if isinstance(each, type)}


def source_of(cls: type) -> str:
    """Identifies the code of a class, wherever it stands: 16 hex digits over the class, its bases that are no
    contracts, and what they use of their own modules. Comments, docstrings and blank lines do not count, and of
    imports the names alone, not the modules that have them.
    """
    digest = hashlib.blake2b(digest_size=8)
    for base in cls.__mro__:
        if base not in CONTRACTS and base.__module__.partition(".")[0] in OUR_PACKAGES:
            digest.update(source_in(Path(getfile(base)).read_text(), base.__name__).encode())
    return digest.hexdigest()


def source_in(text: str, name: str) -> str:
    """The lines of a definition at the top of a module, and of those that it uses there, sorted by name."""
    tree, lines = ast.parse(text), text.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            first, last = node.lineno - 1, node.end_lineno or node.lineno
            lines[first:last] = [""] * (last - first)
    defined = {known: node for node in tree.body for known in _names(node)}
    reached, waiting = set[str](), [name]
    while waiting:
        if (known := waiting.pop()) in defined and known not in reached:
            reached.add(known)
            waiting += [each.id for each in ast.walk(defined[known]) if isinstance(each, ast.Name)]
    return "\n".join(line for known in sorted(reached) for line in _code(defined[known], lines))


def _names(node: ast.stmt) -> Iterator[str]:
    """What a statement defines, but for what it imports."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def _code(node: ast.stmt, lines: list[str]) -> Iterator[str]:
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(each.lineno for each in decorators)])
    for line in lines[first - 1 : node.end_lineno]:
        bare = line.strip()
        if bare and not bare.startswith(("#", "_version:")):
            yield IMPORTED_FROM.sub("", line).rstrip()


def recorded() -> dict[str, list[dict[str, Any]]]:
    """Name -> what it was, oldest first: `version`, `source`, and `waiver`, where the version stayed."""
    found: dict[str, list[dict[str, Any]]] = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    return found


def problems(known: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """What the golden file does not account for."""
    classes = built_in_classes()
    yield from (f"{name} is not built in any more" for name in known.keys() - classes.keys())
    for name, cls in classes.items():
        version, source, before = declared_version(cls), source_of(cls), known.get(name, [])
        if version is None:
            yield f"{name} declares no _version; write _version: ClassVar[int] = 1 below its docstring"
        elif not before:
            yield f"{name} is new"
        elif (version, source) != (before[-1]["version"], before[-1]["source"]):
            yield f"{name} has changed" + (" without another _version" if version == before[-1]["version"] else "")
        for one, other in pairwise(before):
            if other["version"] <= one["version"] and not other.get("waiver"):
                yield f"{name}: source {other['source']} has neither a version of its own nor a waiver"


def record(waiver: str) -> None:
    """Writes down the classes as they are. Raises SystemExit: one has neither another version nor a waiver."""
    known = recorded()
    for name, cls in built_in_classes().items():
        now = {"version": declared_version(cls), "source": source_of(cls)}
        before = known.setdefault(name, [])
        if before and before[-1]["version"] == now["version"]:
            if before[-1]["source"] == now["source"]:
                continue
            if not waiver:
                raise SystemExit(f"{name} has changed: bump its _version, or say why its rows stay with --waive REASON")
            now["waiver"] = waiver
        before.append(now)
    GOLDEN.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    record(" ".join(sys.argv[2:]) if sys.argv[1:2] == ["--waive"] else "")
