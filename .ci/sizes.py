"""Checks that classes and functions stay small: what `make check` holds in place of a limit per file.

A class with behaviour has at most 300 lines and 12 fields: attributes that it declares, or assigns on `self`. Records
of data are exempt: what is only looked at, such as a frozen dataclass. The parameters of steps and LLMs, which users
set, are not fields. A function has at most 60 lines.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CLASS_LINES = 300
CLASS_FIELDS = 12
FUNCTION_LINES = 60
RECORDS = {"BaseModel", "NamedTuple", "TypedDict", "Protocol", "Enum", "StrEnum", "IntEnum"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> int:
    tracked = subprocess.run(["git", "ls-files", "*.py"], capture_output=True, text=True, check=True).stdout.split()
    found = [problem for path in tracked for problem in problems(Path(path))]
    for problem in found:
        print(problem)
    return int(bool(found))


def problems(path: Path) -> Iterator[str]:
    """A line about each thing in a file that is too large."""
    for name, node in definitions(ast.parse(path.read_text())):
        lines = (node.end_lineno or 0) - node.lineno + 1
        where = f"{path}:{node.lineno}: {name}"
        if not isinstance(node, ast.ClassDef):
            if lines > FUNCTION_LINES:
                yield f"{where} has {lines} lines; a function has at most {FUNCTION_LINES}"
        elif not is_record(node):
            fields = fields_of(node)
            if lines > CLASS_LINES:
                yield f"{where} has {lines} lines; a class has at most {CLASS_LINES}"
            if len(fields) > CLASS_FIELDS:
                shown = ", ".join(sorted(fields))
                yield f"{where} has {len(fields)} fields; a class has at most {CLASS_FIELDS}: {shown}"


def definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Classes and functions, however deep, with their dotted names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function | ast.ClassDef):
            yield f"{prefix}{node.name}", node
            yield from definitions(node, f"{prefix}{node.name}.")
        else:
            yield from definitions(node, prefix)


def is_record(node: ast.ClassDef) -> bool:
    """Whether the class only holds data. A mutable dataclass is a record while it has no methods beside properties."""
    if any(name_of(base) in RECORDS for base in node.bases):
        return True
    decorators = {name_of(decorator): decorator for decorator in node.decorator_list}
    if "dataclass" not in decorators:
        return False
    dataclass = decorators["dataclass"]
    frozen = isinstance(dataclass, ast.Call) and any(keyword.arg == "frozen" for keyword in dataclass.keywords)
    return frozen or all("property" in map(name_of, method.decorator_list) for method in methods(node))


def has_parameters(node: ast.ClassDef) -> bool:
    """Whether the class is a step, a client of a model or a mixin of these."""
    return any(name_of(base).endswith(("Step", "Task", "LLM", "Client", "Mixin")) for base in node.bases)


def name_of(node: ast.AST) -> str:
    """The last part of a name, of what is called or subscripted."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=inner) | ast.Subscript(value=inner):
            return name_of(inner)
    return ""


def methods(node: ast.ClassDef) -> list[Function]:
    return [one for one in node.body if isinstance(one, Function)]


def fields_of(node: ast.ClassDef) -> set[str]:
    """Attributes that the class declares, but for parameters, or that its methods assign on `self`."""
    declared = {
        one.target.id
        for one in node.body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and name_of(one.annotation) != "ClassVar"
    }
    if has_parameters(node):
        declared.clear()
    assigned = {
        one.attr
        for method in methods(node)
        for one in ast.walk(method)
        if isinstance(one, ast.Attribute)
        and isinstance(one.ctx, ast.Store)
        and isinstance(one.value, ast.Name)
        and one.value.id == "self"
    }
    return declared | assigned


if __name__ == "__main__":
    sys.exit(main())
