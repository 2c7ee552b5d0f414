"""The packages that a step or a pipeline needs, and whether they are installed here."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import TYPE_CHECKING

from common.errors import UsageError

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def parse_requirement(text: str) -> Requirement:
    """Raises UsageError for a text that is not a requirement."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"{text!r} is not a requirement ({reason}); write a package as pip takes it, for example 'datasketch>=1.6'"
        ) from None


def check_requirements(needed: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Checks every package, its version and its extras, if its marker (`; python_version < "3.13"`) applies.

    Args:
        needed: pairs of owner and packages: `("step 'embed'", ["faiss-cpu>=1.8"])`.

    Raises:
        UsageError: names every missing or wrong package, what is installed, and how to install them.
    """
    problems: dict[str, str] = {}
    for owner, texts in needed:
        for text in texts:
            requirement = parse_requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate():
                continue
            if problem := _problem(requirement):
                problems.setdefault(_to_install(requirement), f"{owner} needs {text.strip()}: {problem}")
    if problems:
        raise UsageError(
            f"packages are missing on this host: {'; '.join(problems.values())}. Install them with: "
            f"pip install {shlex.join(problems)}"
        )


def _to_install(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    url = f" @ {requirement.url}" if requirement.url else ""
    return f"{requirement.name}{extras}{url}{requirement.specifier}"


def _problem(requirement: Requirement, seen: frozenset[tuple[str, str]] = frozenset()) -> str:
    """Why a requirement is not met; empty if it is.

    Args:
        seen: (package, extra) already checked: extras may name each other in a circle.
    """
    from packaging.utils import canonicalize_name

    try:
        found = distribution(requirement.name)
    except PackageNotFoundError:
        return "it is not installed"
    if not requirement.specifier.contains(found.version, prereleases=True):
        return f"{found.version} is installed"
    provided = {canonicalize_name(extra) for extra in found.metadata.get_all("Provides-Extra") or ()}
    for extra in sorted(requirement.extras):
        if canonicalize_name(extra) not in provided:
            return f"{found.version} is installed, which has no extra [{extra}]"
        asked = (canonicalize_name(requirement.name), extra)
        if asked in seen:
            continue
        if lacking := [str(each) for each in _of_extra(found, extra) if _problem(each, seen | {asked})]:
            return f"{found.version} is installed without [{extra}], which needs {', '.join(lacking)}"
    return ""


def _of_extra(found: Distribution, extra: str) -> Iterator[Requirement]:
    """What an extra adds to a package."""
    from packaging.requirements import Requirement

    for text in found.requires or ():
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            continue
        if needed.marker.evaluate({"extra": extra}):
            needed.marker = None
            yield needed
