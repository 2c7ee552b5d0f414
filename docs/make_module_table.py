"""Writes the table of modules in `docs/architecture.md`, from the docstrings of rooms and modules.

.venv/bin/python docs/make_module_table.py
"""

from __future__ import annotations

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "architecture.md"
PACKAGES = ("penstock", "common", "coordinator", "worker")
BEGIN = "<!-- modules: docs/make_module_table.py writes what follows -->"
END = "<!-- end of modules -->"


def main() -> None:
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")


def written() -> dict[Path, str]:
    """File -> what is in it: the page as it is, with its table as the docstrings are now."""
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    return {PAGE: f"{before}{begin}\n\n{table()}\n\n{end}{after}"}


def table() -> str:
    """Markdown: for each room its purpose, then a line for each module."""
    return "\n\n".join(room_text(room) for package in PACKAGES for room in rooms(REPOSITORY / package))


def rooms(package: Path) -> list[Path]:
    return sorted(path.parent for path in package.rglob("__init__.py"))


def room_text(room: Path) -> str:
    modules = sorted(path for path in room.glob("*.py") if path.name != "__init__.py")
    name = room.relative_to(REPOSITORY).as_posix()
    lines = [f"**`{name}/`** {summary(room / '__init__.py')}"]
    if modules:
        lines += ["", "| module | what it is |", "|---|---|"]
        lines += [f"| `{module.name}` | {summary(module)} |" for module in modules]
    return "\n".join(lines)


def summary(module: Path) -> str:
    """The first paragraph of a module's docstring, in one line."""
    docstring = ast.get_docstring(ast.parse(module.read_text())) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
