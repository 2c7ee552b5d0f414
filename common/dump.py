"""From a step to its spec: the inverse of `common.build`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticSerializationError, to_jsonable_python

from common.build import absolute_path
from common.errors import UsageError
from common.registry import spec_type
from common.steps.base import BaseStep


def dump_step(step: BaseStep, after: Sequence[str] = (), *, base_dir: Path | None = None) -> dict[str, Any]:
    """The entry of a step below `steps` in a spec: its type, the steps before it, parameters that are not at their
    defaults, LLMs as mappings with their type. Secrets are left out.

    Args:
        base_dir: where relative paths in the step's `path_fields` start; they come out absolute. None leaves them.

    Raises:
        UsageError: no worker can import the class, or a parameter is nothing that a file could hold.
    """
    dumped: dict[str, Any] = {"type": spec_type(type(step))}
    if after:
        dumped["after"] = list(after)
    dumped |= dump_parameters(step)
    if base_dir is not None:
        dumped |= {name: absolute_path(dumped[name], base_dir) for name in step.path_fields if name in dumped}
    return dumped


def dump_parameters(model: BaseModel) -> dict[str, Any]:
    """Plain data: the fields of a step or an LLM that are not at their defaults."""
    found = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if field.exclude or (name == "name" and isinstance(model, BaseStep)) or isinstance(value, SecretStr):
            continue
        if not field.is_required() and value == field.get_default(call_default_factory=True):
            continue
        try:
            plain = dump_value(value)
        except (PydanticSerializationError, ValueError) as error:
            held = f"{type(model).__name__}: the parameter '{name}' holds a {type(value).__name__}"
            raise UsageError(
                f"{held}, which no spec can hold ({error}); a worker builds the step from its spec, so give it as "
                "text, numbers, lists or mappings"
            ) from None
        found[field.alias or name] = plain
    return found


def dump_value(value: Any) -> Any:
    """One value as plain data; a model as the mapping that it is built from, an LLM with its type."""
    if _is_plain(value):
        return value
    from common.llms.base import LLM

    if isinstance(value, LLM):
        return {"type": spec_type(type(value)), **dump_parameters(value)}
    if isinstance(value, BaseModel):
        return dump_parameters(value)
    if isinstance(value, dict):
        return {str(key): dump_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return [dump_value(item) for item in items]
    plain = to_jsonable_python(value)
    json.dumps(plain, allow_nan=False)
    return plain


def _is_plain(value: Any) -> bool:
    """As most cells of rows are, of which there may be many."""
    kind = type(value)
    if kind is str:
        return value.isascii()  # type: ignore[no-any-return]
    return value is None or kind is bool or (kind is int and value.bit_length() < 64)
