"""Prints what a pyproject.toml requires, with some of its extras: `requirements.py pyproject.toml dedup,embedded`."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def requirements(project: dict[str, dict[str, list[str]]], extras: str) -> list[str]:
    """The dependencies and those of the extras; ends the program where there is no such extra."""
    wanted = extras.replace(",", " ").split()
    there = project["optional-dependencies"]
    if unknown := sorted(set(wanted) - set(there)):
        sys.exit(
            f"EXTRAS: Penstock has no extra {', '.join(unknown)}; it has {', '.join(sorted(there))}. "
            "Packages that your own steps need go into PACKAGES"
        )
    return [*project["dependencies"], *(line for extra in wanted for line in there[extra])]


if __name__ == "__main__":
    file, extras = sys.argv[1:]
    print(*requirements(tomllib.loads(Path(file).read_text())["project"], extras), sep="\n")
