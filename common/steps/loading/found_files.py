"""Finding the files of a kind: in folders, by patterns, by their names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from common.errors import UsageError
from common.steps.loading.file_sources import FileSource, find_files, format_suffix, is_pattern

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """Files of the wanted kind, in order.

    Args:
        files: in the order of the paths, sorted within each, each file once.
        left_out: how many files in folders and patterns are of no such kind, by their suffixes.
    """

    files: list[FileSource]
    left_out: Counter[str]


def find_wanted(
    paths: Sequence[str],
    is_wanted: Callable[[str], bool],
    storage_options: dict[str, Any],
    parameter: str,
    *,
    recursive: bool = True,
) -> FoundFiles:
    """The files of a kind that files, folders and patterns name.

    In a folder, hidden files and folders are skipped, and so are links to folders, which may lead in a circle.

    Args:
        is_wanted: whether a path is of the kind; it is not asked about a file that is named itself.
        parameter: the one that says what kind files are whose names do not.
        recursive: whether folders in folders count.

    Raises:
        UsageError: there is none, a path does not exist, or a link leads nowhere.
    """
    from fsspec.core import url_to_fs

    found: dict[str, FileSource] = {}
    left_out: Counter[str] = Counter()
    for path in paths:
        filesystem, place = url_to_fs(os.path.expanduser(path), **storage_options)
        if filesystem.isdir(place):
            sources = [FileSource(filesystem, each) for each in sorted(_below(filesystem, place, recursive))]
        else:
            sources = find_files([path], storage_options)
            if not is_pattern(path) or filesystem.isfile(place):
                found.update((source.shown, source) for source in sources if source.shown not in found)
                continue
        for source in sources:
            if is_wanted(source.path):
                found.setdefault(source.shown, source)
            else:
                left_out[format_suffix(source.path) or PurePosixPath(source.path).name] += 1
    if not found:
        there = f"; there are {shown_counts(left_out)}" if left_out else ""
        names = ", ".join(map(repr, paths))
        raise UsageError(f"no files to read in {names}{there}; set {parameter} if suffixes do not show what they are")
    return FoundFiles(list(found.values()), left_out)


def shared_folder(paths: Sequence[str], storage_options: dict[str, Any]) -> str:
    """The folder below which all files of these paths are, as messages show it; empty if there is none."""
    from fsspec.core import url_to_fs

    folders = []
    for path in paths:
        filesystem, place = url_to_fs(os.path.expanduser(path), **storage_options)
        if not filesystem.isdir(place):
            parts = PurePosixPath(place).parts
            fixed = next((number for number, part in enumerate(parts) if is_pattern(part)), len(parts))
            place = str(PurePosixPath(*parts[: min(fixed, len(parts) - 1)]))
        folders.append(FileSource(filesystem, place).shown.rstrip("/").split("/"))
    same = takewhile(lambda names: len(set(names)) == 1, zip(*folders, strict=False))
    return "/".join(names[0] for names in same)


def shown_counts(counts: Counter[str]) -> str:
    """`.png (10), .zip (2)`."""
    return ", ".join(f"{name} ({count})" for name, count in counts.most_common(5)) + (
        ", ..." if len(counts) > 5 else ""
    )


def _below(filesystem: AbstractFileSystem, folder: str, recursive: bool) -> Iterator[str]:
    """The files in a folder that are not hidden."""
    if "file" not in filesystem.protocol:
        for path in filesystem.find(folder, maxdepth=None if recursive else 1):
            if not any(part.startswith(".") for part in PurePosixPath(path).relative_to(folder.rstrip("/")).parts):
                yield path
        return
    for parent, inner, names in os.walk(folder, onerror=_unreadable):
        inner[:] = [name for name in inner if recursive and not name.startswith(".")]
        for name in names:
            path = os.path.join(parent, name)
            if name.startswith("."):
                continue
            if os.path.isfile(path):
                yield path
            elif os.path.islink(path) and not os.path.exists(path):
                raise UsageError(f"{path} is a link to a file that is missing; restore that file, or remove the link")


def _unreadable(error: OSError) -> None:
    raise UsageError(f"{error.filename} cannot be read: {error.strerror}; make it readable, or name other folders")
