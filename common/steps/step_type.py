"""The class of step classes: lets `inputs` and `outputs` be written as plain class attributes."""

from __future__ import annotations

from typing import Any

from common.parameters.constructors import ExplainedType


class StepType(ExplainedType):
    """Makes a property of `outputs = ["answer"]`, which pydantic would take for a field that lacks its annotation."""

    def __new__(mcs, name: str, bases: tuple[type[Any], ...], namespace: dict[str, Any], **options: Any) -> type:
        for which in ("inputs", "outputs"):
            columns = namespace.get(which)
            if isinstance(columns, list | tuple | dict):
                namespace[which] = _constant(columns)
                namespace.get("__annotations__", {}).pop(which, None)
        made: type = super().__new__(mcs, name, bases, namespace, **options)
        return made


def _constant(columns: list[str] | tuple[str, ...] | dict[str, bool]) -> property:
    # A copy for each caller, since there is one value for all steps of the class.
    return property(lambda _: dict(columns) if isinstance(columns, dict) else list(columns))
