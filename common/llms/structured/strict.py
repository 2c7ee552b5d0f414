"""A JSON Schema in the form that OpenAI's strict mode takes: one that admits no other answers. Pure.

Source: OpenAI's guide to structured outputs, "Supported schemas". Every object names all of its properties, requires
them and admits no others; keywords outside a list are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.llms.structured.structured_output import root_of

_KEPT = frozenset(
    {
        *("$defs", "$ref", "additionalProperties", "anyOf", "const", "description", "enum", "exclusiveMaximum"),
        *("exclusiveMinimum", "format", "items", "maxItems", "maximum", "minItems", "minimum", "multipleOf"),
        *("pattern", "properties", "required", "title", "type"),
    }
)
_DROPPED = frozenset({"$schema", "$id", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"})
"""Keywords that say nothing about which answers are valid."""
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_BESIDE_A_REFERENCE = frozenset({"title", "description"})


class _NotStrict(Exception):
    """The schema says something that strict mode cannot."""


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema for strict mode: whatever it admits, the given one admits too. None if there is no such schema.

    An object gets `additionalProperties: false` unless it says otherwise. A property that may be missing becomes
    required if it may also be null.
    """
    if schema.get("type") != "object" or "anyOf" in schema:
        return None
    try:
        return _strict(schema, schema)
    except _NotStrict:
        return None


def _strict(schema: Any, whole: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(schema, Mapping):  # true and false are schemas too
        raise _NotStrict
    found = {name: value for name, value in schema.items() if name not in _DROPPED}
    if not found or found.keys() - _KEPT or found.get("format", "date") not in _FORMATS:
        raise _NotStrict
    if "$ref" in found:
        if found.keys() - {"$ref", "$defs"} - _BESIDE_A_REFERENCE:
            raise _NotStrict
        return {"$ref": found["$ref"]}
    kinds = found.get("type")
    if "object" in ([kinds] if isinstance(kinds, str) else kinds or ()):
        _close(found, whole)
    elif "properties" in found or "required" in found:
        raise _NotStrict
    for name in ("properties", "$defs"):
        if name in found:
            found[name] = {key: _strict(value, whole) for key, value in found[name].items()}
    if "items" in found:
        found["items"] = _strict(found["items"], whole)
    elif "array" in ([kinds] if isinstance(kinds, str) else kinds or ()):
        raise _NotStrict
    if "anyOf" in found:
        found["anyOf"] = [_strict(each, whole) for each in found["anyOf"]]
    if not found.keys() & {"type", "anyOf", "enum", "const"}:
        raise _NotStrict
    return found


def _close(found: dict[str, Any], whole: Mapping[str, Any]) -> None:
    if found.get("additionalProperties", False) is not False or "properties" not in found:
        raise _NotStrict
    properties, required = found["properties"], set(found.get("required", ()))
    for name, each in properties.items():
        if name not in required and not _may_be_null(each, whole):
            raise _NotStrict
    if required - properties.keys():
        raise _NotStrict
    found["additionalProperties"] = False
    found["required"] = list(properties)


def _may_be_null(schema: Any, whole: Mapping[str, Any]) -> bool:
    if not isinstance(schema, Mapping):
        return False
    if isinstance(ref := schema.get("$ref"), str):
        schema = root_of({**whole, "$ref": ref})
    kinds = schema.get("type")
    admits = "null" in ([kinds] if isinstance(kinds, str) else kinds or ())
    return admits or any(isinstance(each, Mapping) and each.get("type") == "null" for each in schema.get("anyOf", ()))
