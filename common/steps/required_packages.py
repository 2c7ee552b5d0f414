"""`@requirements`: the packages that a step needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from common.errors import UsageError
from common.spec.requirements import parse_requirement
from common.steps.base import BaseStep

Class = TypeVar("Class", bound=type[BaseStep])


def requirements(needed: Sequence[str]) -> Callable[[Class], Class]:
    """Declares the packages that a step needs, in addition to those of its base classes.

    Args:
        needed: as `pip install` takes them: `["faiss-cpu>=1.8", "datasketch"]`.

    Raises:
        UsageError: one of them is not a requirement.

    Example:
        >>> @requirements(["datasketch>=1.6"])
        ... class Deduplicate(Step): ...
    """
    if isinstance(needed, str):
        raise UsageError(f"@requirements takes a list: @requirements([{needed!r}])")
    for text in needed:
        parse_requirement(text)

    def with_requirements(cls: Class) -> Class:
        cls.requirements = list(dict.fromkeys([*cls.requirements, *needed]))
        return cls

    return with_requirements
