"""How `datasets` reads folder names: it takes some of them for something other than a folder."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import Final

from common.errors import UsageError
from common.words.printable import quoted

_PATTERN: Final = re.compile(r"[*?]|\[[^/]+\]")
_OTHERS: Final = (
    (re.compile(r"::"), "the link of two URLs"),
    (re.compile(r"(?<=[^/])\.py$"), "the end of a script"),
)
_VARIABLE: Final = re.compile(r"\$(?:\w+|\{[^}]*\})", re.ASCII)
_STARTS: Final = {"~": "a home folder", "file:": "the start of a URL"}


def misread(folder: Path) -> str | None:
    """What `datasets.load_dataset` sees in the path of a folder, such as `'*' is a pattern`; None if just a folder.

    It looks at the absolute path, and at the start of the path that it is given.
    """
    given, path = str(folder), os.path.abspath(folder)
    for start, meaning in _STARTS.items():
        if given.startswith(start):
            return f"'{start}' is {meaning}"
    return _misread(path, ((_PATTERN, "a pattern"), *_OTHERS))


def check_name(folder: Path) -> None:
    """Raises UsageError for a folder that `datasets.load_dataset` would not find, or would mix with others."""
    if problem := misread(folder):
        raise UsageError(
            f"--output {folder}: the dataset could not be loaded from there, since for `datasets.load_dataset` "
            f"{problem} in {os.path.abspath(folder)}; choose a folder with another name"
        )


def how_to_load(folder: Path) -> str:
    """Python code that loads the dataset in a folder, or why that is impossible."""
    if problem := misread(folder):
        return f"once it is moved to a folder with another name: for `datasets.load_dataset` {problem} in this one"
    # A bare name may be one of its own names, such as `json`.
    alone = not folder.is_absolute() and len(folder.parts) == 1
    return f"datasets.load_dataset({quoted(f'./{folder}' if alone else str(folder))})"


def file_pattern(file: Path) -> str:
    """The pattern that makes `Dataset.from_parquet` find only this file. Raises UsageError if there is none."""
    if problem := _misread(os.path.abspath(file), _OTHERS):
        raise UsageError(
            f"`datasets` cannot read {file}, where {problem}: move the dataset to a folder with another name"
        )
    return glob.escape(str(file))


def _misread(path: str, meanings: tuple[tuple[re.Pattern[str], str], ...]) -> str | None:
    for pattern, meaning in meanings:
        if found := pattern.search(path):
            return f"'{found[0]}' is {meaning}"
    for found in _VARIABLE.finditer(path):
        if os.path.expandvars(found[0]) != found[0]:
            return f"'{found[0]}' is an environment variable"
    return None
