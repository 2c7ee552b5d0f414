"""Which modules count as the user's own code, and their files: those of a distribution, or of a folder."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import Distribution, distributions, packages_distributions
from importlib.util import find_spec
from pathlib import Path

from common.location import INSTALLED, OUR_PACKAGES


@dataclass(frozen=True, slots=True)
class Folder:
    """The content of a folder.

    Args:
        modules: without their `.py`.
        others: folders, and files that are not modules.
    """

    modules: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    is_package: bool = False
    is_environment: bool = False

    @classmethod
    def read(cls, path: Path) -> Folder:
        """Reads it; empty if it cannot be read or is not a folder."""
        modules, others = set(), set()
        with suppress(OSError):
            for entry in path.iterdir():
                if entry.suffix == ".py":
                    modules.add(entry.stem)
                else:
                    others.add(entry.name)
        return cls(frozenset(modules), frozenset(others), "__init__" in modules, "pyvenv.cfg" in others)


@dataclass(slots=True)
class Folders:
    """Folders, as of the first request."""

    known: dict[Path, Folder] = field(default_factory=dict)

    def __getitem__(self, path: Path) -> Folder:
        if path not in self.known:
            self.known[path] = Folder.read(path)
        return self.known[path]


@dataclass(frozen=True, eq=False)
class Scope:
    """Where imports are followed.

    Args:
        root: the folder that top-level modules are in.
        units: modules and regular packages that count, with their content; None for all below `root`.
        places: top-level modules that are not in `root`, as an editable installation may have it: name -> its folder,
            or its file.
    """

    root: Path
    units: frozenset[str] | None = None
    places: Mapping[str, Path] = field(default_factory=dict)

    def modules(self, name: str, folders: Folders) -> Iterator[tuple[str, Path]]:
        """The modules that importing `name` runs, as (name, file); its last part may not be a module."""
        parts = name.split(".")
        folder, is_inside = self.root, self.units is None
        if parts[0] in OUR_PACKAGES:
            return
        for count, part in enumerate(parts, start=1):
            here = ".".join(parts[:count])
            is_inside = is_inside or here in (self.units or ())
            if not is_inside and here not in self._namespaces:
                return
            place = self.places.get(here) or folder / part
            if place.suffix == ".py":
                yield here, place
                return
            package = folders[place] if here in self.places or part in folders[folder].others else Folder()
            if package.is_environment:
                return
            if package.is_package:
                yield here, place / "__init__.py"
            elif here not in self.places and part in folders[folder].modules:
                yield here, folder / f"{part}.py"
                return
            folder = place

    @cached_property
    def _namespaces(self) -> frozenset[str]:
        """Packages without their own file, which several distributions may share."""
        return frozenset(above for unit in self.units or () for above in _above(unit))


@dataclass(slots=True)
class Scopes:
    """Finds the scope of a module.

    Modules of one distribution share a scope, and so do those in one folder, which avoids repeated work.
    """

    _of_folders: dict[tuple[Path, str], Scope] = field(default_factory=dict)
    _of_distributions: dict[Path, list[tuple[frozenset[str], Scope]]] = field(default_factory=dict)
    _records: dict[Path, list[tuple[str, Distribution]]] = field(default_factory=dict)

    def of(self, module: str, file: Path) -> Scope:
        """The distribution that installed it, wherever that is; else the folder of its top-level module.

        Args:
            file: of the module.
        """
        parts = module.split(".")
        own = file.parent if file.name == "__init__.py" else file.with_suffix("")
        if own.parts[-len(parts) :] == tuple(parts):
            root = own.parents[len(parts) - 1]
            return self._installed(root, file) or self._of_folder(root, parts[0])
        if own == file.parent:
            return self._mapped(module, (own, *own.parents)[len(parts) - 1], own)
        return self._mapped(".".join(parts[:-1]), own.parents[max(0, len(parts) - 2)], file.parent)

    def _of_folder(self, root: Path, top: str) -> Scope:
        is_unlisted = any(part in INSTALLED for part in root.parts)  # installed, but in no list of installed files
        key = root, top if is_unlisted else ""
        if key not in self._of_folders:
            self._of_folders[key] = Scope(root, _tops_beside(top) if is_unlisted else None)
        return self._of_folders[key]

    def _installed(self, root: Path, file: Path) -> Scope | None:
        path = file.relative_to(root).as_posix()
        known = self._of_distributions.setdefault(root, [])
        for files, scope in known:
            if path in files:
                return scope
        if root not in self._records:
            self._records[root] = [(each.read_text("RECORD") or "", each) for each in distributions(path=[str(root)])]
        for record, _ in self._records[root]:
            if path in record and path in (files := _recorded(record)):
                known.append((files, scope := Scope(root, _units(files))))
                return scope
        return None

    def _mapped(self, package: str, top_folder: Path, folder: Path) -> Scope:
        """Of a package in a folder of another name, as an editable installation may have it."""
        key = folder, package
        if key not in self._of_folders:
            top = package.partition(".")[0]
            places = {name: place for name in _tops_beside(top) if (place := _place(name)) is not None} if top else {}
            if top and places.get(top) == top_folder:
                self._of_folders[key] = Scope(top_folder, frozenset(places), places)
            else:  # loaded under a name that its path does not show
                self._of_folders[key] = Scope(folder, None, {package: folder})
        return self._of_folders[key]


def _recorded(record: str) -> frozenset[str]:
    """The modules in a list of installed files, as paths with slashes."""
    return frozenset(line[0] for line in csv.reader(record.splitlines()) if line and line[0].endswith(".py"))


def _units(files: frozenset[str]) -> frozenset[str]:
    """The regular packages and the modules that are in no regular package."""
    packages = {file.removesuffix("/__init__.py").replace("/", ".") for file in files if file.endswith("/__init__.py")}
    modules = {file.removesuffix(".py").replace("/", ".") for file in files if not file.endswith("__init__.py")}
    return frozenset(name for name in packages | modules if packages.isdisjoint(_above(name)))


def _above(name: str) -> Iterator[str]:
    while name := name.rpartition(".")[0]:
        yield name


def _tops_beside(top: str) -> frozenset[str]:
    """The top-level modules of the distributions that have this one."""
    known = packages_distributions()
    mine = set(known.get(top, ()))
    return frozenset({top, *(name for name, owners in known.items() if mine.intersection(owners))})


def _place(top: str) -> Path | None:
    """The folder or file that a top-level module is imported from; it is looked for, not run."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
