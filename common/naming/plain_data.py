"""Models and values as the plain data of a spec."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticSerializationError, to_jsonable_python

from common.errors import UsageError
from common.naming.registry import NamedByType, spec_type


def dump_fields(model: BaseModel, without: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a model that differ from their defaults, under the names that a spec uses.

    Args:
        without: fields to omit; secrets are always omitted.

    Raises:
        UsageError: a file cannot hold one of the values.
    """
    found = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if field.exclude or name in without or isinstance(value, SecretStr):
            continue
        if not field.is_required() and value == field.get_default(call_default_factory=True):
            continue
        try:
            plain = dump_value(value)
        except (PydanticSerializationError, ValueError) as error:
            held = f"{type(model).__name__}: the parameter '{name}' holds a {type(value).__name__}"
            raise UsageError(
                f"{held}, which a spec cannot hold ({error}); a worker builds the step from its spec, so pass "
                "text, numbers, lists or mappings"
            ) from None
        found[field.alias or name] = plain
    return found


def dump_value(value: Any) -> Any:
    """One value as plain data; a model becomes the mapping that it is built from, an LLM with its type."""
    if _is_plain(value):
        return value
    if isinstance(value, BaseModel):
        named = {"type": spec_type(type(value))} if isinstance(value, NamedByType) else {}
        return named | dump_fields(value)
    if isinstance(value, dict):
        return {str(key): dump_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return [dump_value(item) for item in items]
    plain = to_jsonable_python(value)
    json.dumps(plain, allow_nan=False)
    return plain


def _is_plain(value: Any) -> bool:
    """Whether the value is plain already. A fast path, for most cells of rows."""
    kind = type(value)
    if kind is str:
        return value.isascii()  # type: ignore[no-any-return]
    return value is None or kind is bool or (kind is int and value.bit_length() < 64)
