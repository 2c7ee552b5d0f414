"""The metaclass of steps: allows `inputs` and `outputs` to be plain class attributes."""

from __future__ import annotations

from typing import Any

from common.parameters.constructors import ExplainedType


class StepType(ExplainedType):
    """Turns `outputs = ["answer"]` into a property; pydantic would take it for a field without annotation."""

    def __new__(mcs, name: str, bases: tuple[type[Any], ...], namespace: dict[str, Any], **options: Any) -> type:
        for which in ("inputs", "outputs"):
            columns = namespace.get(which)
            if isinstance(columns, list | tuple | dict):
                namespace[which] = _constant(columns)
                namespace.get("__annotations__", {}).pop(which, None)
        made: type = super().__new__(mcs, name, bases, namespace, **options)
        return made


def _constant(columns: list[str] | tuple[str, ...] | dict[str, bool]) -> property:
    # A copy for each caller, since all steps of the class share the value.
    return property(lambda _: dict(columns) if isinstance(columns, dict) else list(columns))
