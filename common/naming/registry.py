"""From the type name in a spec to a class. A spec names steps; the process that reads it decides what may be imported.

A name is one of
- a built-in name, `TextGeneration`: its module is imported only when it is needed;
- the name of an entry point of an installed package, in the group `penstock.steps` or `penstock.llms`;
- `module:Class` or `module.Class`, if `allow` admits the module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

import common
from common.code.import_names import import_by_name, import_name
from common.errors import PenstockError, UnknownType, UsageError
from common.location import OUR_PACKAGES, place_of
from common.naming.catalogue import Kind, built_in_name, paths
from common.words.faults import nearest

T = TypeVar("T")


class NotHere(UnknownType):
    """This process cannot import the class. The name may still be valid: another host may have the class.

    Args:
        forbidden: the module exists, but this process is not allowed to import it.
    """

    def __init__(self, message: str, type_name: str, *, forbidden: bool = False) -> None:
        self.forbidden = forbidden
        super().__init__(message, type_name)


@dataclass(frozen=True, slots=True)
class Namespace(Generic[T]):
    """The type names of one kind of class.

    Args:
        what: one such class in words, such as "step".
        base: the class that they inherit from.
        bases: the names of possible base classes, for messages.
        kinds: of the built-in ones.
        group: of entry points in installed packages.
    """

    what: str
    base: type[T]
    bases: str
    kinds: tuple[Kind, ...]
    group: str

    def resolve(self, type_name: str, allow: Sequence[str] = ()) -> type[T]:
        """The class that a spec calls `type_name`.

        Args:
            allow: modules whose classes may be used as `module:Class`; "pkg" admits "pkg" and all below it, "*"
                everything.

        Raises:
            UnknownType: no such name, module or class; not allowed; cannot be imported; not of this kind.
            NotHere: the fault may be in this host, not in the name: the module, or a dependency, is missing or not
                allowed.
        """
        if target := paths(*self.kinds).get(type_name):
            module_name, _, class_name = target.partition(":")
            return self._class(module_name, class_name, type_name)
        module_name, separator, class_name = type_name.partition(":")
        if not separator:
            module_name, separator, class_name = type_name.rpartition(".")
        if not separator:
            return self._from_entry_point(type_name)
        if not module_name or not class_name:
            raise UnknownType(f"'{type_name}' is not a type name; write module:Class", type_name)
        if not _allowed(module_name, allow):
            _check_built_in(type_name, module_name, class_name, paths(*self.kinds), "type: ")
            raise _not_allowed(type_name, module_name, class_name, allow)
        return self._class(module_name, class_name, type_name)

    def _class(self, module_name: str, class_name: str, type_name: str) -> type[T]:
        module = _import(module_name, type_name)
        if (found := _find(module, class_name)) is not None:
            return self._as_kind(found, type_name)
        classes = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, self.base) and value.__module__ == module.__name__
        ]
        raise _not_in(module, class_name, type_name, "class", classes)

    def _from_entry_point(self, type_name: str) -> type[T]:
        offered = entry_points(group=self.group)
        for entry in offered.select(name=type_name):
            try:
                return self._as_kind(entry.load(), type_name)
            except UnknownType:
                raise
            except Exception as error:  # any error in the package's own code
                package = entry.dist.name if entry.dist else entry.value
                raise UnknownType(
                    f"'{type_name}' of the package {package} cannot be imported: {type(error).__name__}: {error}",
                    type_name,
                ) from error
        names = [*paths(*self.kinds), *offered.names]
        close = nearest(type_name, names)
        if close:
            meant = f"did you mean '{close}'?"
        else:
            meant = f"there are {', '.join(sorted(names))}; write your own class as module:{type_name}"
        raise UnknownType(f"no {self.what} has the type '{type_name}'; {meant}", type_name, close)

    def _as_kind(self, found: Any, type_name: str) -> type[T]:
        if not isinstance(found, type) or not issubclass(found, self.base):
            raise UnknownType(
                f"'{type_name}' is not the class of a{'n' if self.what == 'LLM' else ''} {self.what}; it must inherit "
                f"from {self.bases}",
                type_name,
            )
        if missing := getattr(found, "__abstractmethods__", None):
            raise UnknownType(
                f"'{type_name}' cannot be used: it does not define {', '.join(sorted(missing))}", type_name
            )
        return found


class NamedByType:
    """A model that a spec writes as a mapping with its `type`, such as an LLM."""

    @classmethod
    def _namespace(cls) -> Namespace[Any]:
        """Of the types allowed there."""
        raise NotImplementedError


def resolve_function(name: str, allow: Sequence[str] = ()) -> Callable[..., Any]:
    """The function that a spec calls `module:function` or by a built-in name; `allow` applies as for classes.

    Raises:
        UnknownType: not such a name, not allowed, cannot be imported, or no such function.
    """
    if target := paths("routing function").get(name):
        module_name, _, path = target.partition(":")
        function: Callable[..., Any] = getattr(_import(module_name, name), path)
        return function
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise UnknownType(f"'{name}' is not the name of a function; write module:function", name)
    if not _allowed(module_name, allow):
        _check_built_in(name, module_name, path, paths("routing function"))
        raise _not_allowed(name, module_name, path, allow)
    module = _import(module_name, name)
    found = _find(module, path)
    if callable(found) and not isinstance(found, type):
        return found
    functions = [name for name, value in vars(module).items() if callable(value) and not isinstance(value, type)]
    raise _not_in(module, path, name, "function", functions)


def spec_type(cls: type) -> str:
    """The name of a class in a spec: the built-in one, else `module:Class`.

    Raises:
        UsageError: no worker can import it.
    """
    name = import_name(cls)
    return built_in_name(name) or name


def folder_modules(folder: Path) -> tuple[str, ...]:
    """The modules and packages in a folder on `sys.path`."""
    found = {path.stem for path in folder.glob("*.py")}
    found |= {path.parent.name for path in folder.glob("*/*.py")}
    return tuple(sorted(name for name in found if name.isidentifier()))


def check_shadowing(folder: Path) -> None:
    """Checks a folder that is about to be added to `sys.path`.

    Raises:
        UsageError: it holds a user's module with the name of one of our packages. One of the two would silently be
            imported instead of the other.
    """
    ours = Path(common.__file__).resolve().parent.parent
    for name in OUR_PACKAGES:
        module, package = folder / f"{name}.py", folder / name
        found = module if module.exists() else package if any(package.glob("*.py")) else None
        if found is not None and found.resolve() != ours / name:
            raise UsageError(
                f"{found} has the name of one of Penstock's packages, so one of the two would be imported instead "
                f"of the other: rename it, for example to my{name}{found.suffix}"
            )


def _check_built_in(name: str, module_name: str, inside: str, names: Collection[str], key: str = "") -> None:
    """Raises UnknownType if it is meant to be one of the built-in `names`, which are written without their module."""
    if module_name.partition(".")[0] not in OUR_PACKAGES:
        return
    if inside in names:
        raise UnknownType(f"'{name}' is built in; write {key}{inside}", name, inside)
    if close := nearest(inside, names):
        raise UnknownType(f"there is no built-in '{inside}'; did you mean {key}{close}?", name, close)


def _not_allowed(name: str, module_name: str, inside: str, allow: Sequence[str]) -> NotHere:
    close = nearest(module_name, allow)
    meant = f"did you mean '{close}:{inside}'? Else, " if close else ""
    there = _is_there(module_name)
    return NotHere(
        f"'{name}' is not allowed here; {meant}to let this process import it: --allow {module_name}"
        f"{'' if there else ' (but there is no such module on this host)'}",
        name,
        forbidden=there,
    )


def _allowed(module_name: str, allow: Sequence[str]) -> bool:
    return any(name in ("*", module_name) or module_name.startswith(f"{name}.") for name in allow)


def _is_there(module_name: str) -> bool:
    """Whether the module exists, or a package that may have it. Imports nothing."""
    try:
        return find_spec(module_name.partition(".")[0]) is not None
    except ValueError:  # a module in memory without a spec, such as a script
        return True


def _import(module_name: str, type_name: str) -> ModuleType:
    try:
        return import_by_name(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise NotHere(_import_failed(module_name, type_name, error), type_name) from error
        path = module_name.partition(".")[0]
        raise NotHere(
            f"the module '{error.name}' of '{type_name}' was not found: neither an installed package nor "
            f"{path}.py or {path}/ in {sys.path[-1]}",
            type_name,
        ) from None
    except (ImportError, OSError) as error:  # such as a shared library that only hosts with devices have
        raise NotHere(_import_failed(module_name, type_name, error), type_name) from error
    except Exception as error:  # any error in the user's own code
        raise UnknownType(_import_failed(module_name, type_name, error), type_name) from error


def _import_failed(module_name: str, type_name: str, error: Exception) -> str:
    if isinstance(error, PenstockError):  # it names the place
        return f"the module '{module_name}' of '{type_name}' cannot be imported: {error}"
    if isinstance(error, SyntaxError):
        problem, place = error.msg, f"{error.filename}:{error.lineno}"
    else:
        problem, place = str(error), place_of(error)
    return (
        f"the module '{module_name}' of '{type_name}' cannot be imported: {type(error).__name__}: {problem} ({place})"
    )


def _find(module: ModuleType, path: str) -> object:
    """The object of a qualified name in a module; None if there is none."""
    found: object = module
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def _not_in(module: ModuleType, path: str, name: str, what: str, known: Sequence[str]) -> UnknownType:
    close = nearest(path, known)
    meant = f"; did you mean '{module.__name__}:{close}'?" if close else ""
    place = f" ({module.__file__})" if module.__file__ else ""
    message = f"the module '{module.__name__}'{place} has no {what} '{path}'{meant}"
    return UnknownType(message, name, close and f"{module.__name__}:{close}")
