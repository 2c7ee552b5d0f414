"""A JSON Schema in the form that Anthropic's structured outputs take: closed objects, and few other keywords. Pure.

Source: Anthropic's page about structured outputs, "JSON Schema limitations" and "How SDK transformation works". What
the API cannot hold an answer to is left out; the answer is checked against the whole schema all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from common.llms.structured.structured_output import references

_KEPT = frozenset({"$ref", "allOf", "anyOf", "const", "description", "enum", "title", "type"})
_SILENT = frozenset({"$schema", "$id", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"})
"""Keywords that say nothing about which answers are valid."""
_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"})
_DEFINITION = "#/$defs/"
_MOST_OPTIONAL = 24
_MOST_UNIONS = 16
"""Properties that may be missing, and that have several types, in one schema."""


class _NotClosed(Exception):
    """The schema says something that no closed one can."""


@dataclass(slots=True)
class _Counts:
    left_out: set[str] = field(default_factory=set)
    optional: int = 0
    unions: int = 0


def closed_schema(schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool] | None:
    """The schema with closed objects and without what the API cannot hold an answer to.

    Returns:
        The schema, and whether it says all that the given one does; None if there is no such schema: an object of any
        properties, a schema within itself, or one that is too large.
    """
    counts = _Counts()
    try:
        _check_references(schema)
        found = _closed(schema, counts)
    except _NotClosed:
        return None
    if counts.optional > _MOST_OPTIONAL or counts.unions > _MOST_UNIONS:
        return None
    return found, not counts.left_out


def _closed(schema: Any, counts: _Counts) -> dict[str, Any]:
    if not isinstance(schema, Mapping):  # true and false are schemas too
        raise _NotClosed
    found = {name: value for name, value in schema.items() if name in _KEPT}
    defs = {name: _closed(each, counts) for name, each in _definitions(schema).items()}
    if "$ref" in found:
        return {"$ref": found["$ref"], **({"$defs": defs} if defs else {})}
    read = set(_KEPT)
    if isinstance(kinds := found.get("type"), list):
        rest = {name: value for name, value in schema.items() if name not in ("type", "$defs", "description", "title")}
        del found["type"]
        found["anyOf"] = [{**rest, "type": kind} for kind in kinds]
        read |= schema.keys()
    if "oneOf" in schema:
        found["anyOf"] = schema["oneOf"]
        counts.left_out.add("oneOf")
    for name in ("anyOf", "allOf"):
        if name in found:
            found[name] = [_closed(each, counts) for each in found[name]]
    counts.unions += "anyOf" in found
    if "enum" in found or "const" in found:
        found.pop("type", None)
    read |= _structure(found, schema, counts)
    if not found.keys() & {"type", "anyOf", "allOf", "enum", "const"}:
        raise _NotClosed
    counts.left_out |= schema.keys() - read - _SILENT - {"$defs", "oneOf"}
    return {**found, **({"$defs": defs} if defs else {})}


def _structure(found: dict[str, Any], schema: Mapping[str, Any], counts: _Counts) -> set[str]:
    """Adds what belongs to the type. Returns the keywords that it has read."""
    kind = found.get("type")
    if kind == "object":
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or schema.get("additionalProperties", False) is not False:
            raise _NotClosed
        required = [name for name in schema.get("required", ()) if name in properties]
        counts.optional += len(properties) - len(required)
        found["properties"] = {name: _closed(each, counts) for name, each in properties.items()}
        found["required"] = required
        found["additionalProperties"] = False
        return {"properties", "required", "additionalProperties"}
    if kind == "array":
        if "items" not in schema:
            raise _NotClosed
        found["items"] = _closed(schema["items"], counts)
        if schema.get("minItems") in (0, 1):
            found["minItems"] = schema["minItems"]
            return {"items", "minItems"}
        return {"items"}
    if kind == "string" and schema.get("format") in _FORMATS:
        found["format"] = schema["format"]
        return {"format"}
    return set()


def _definitions(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found = schema.get("$defs")
    return found if isinstance(found, Mapping) else {}


def _check_references(schema: Mapping[str, Any]) -> None:
    """Raises _NotClosed if one leads to something else than a definition, or a definition to itself."""
    if not all(ref.startswith(_DEFINITION) for ref in references(schema)):
        raise _NotClosed
    graph = {
        name: [ref.removeprefix(_DEFINITION) for ref in references(each)] for name, each in _definitions(schema).items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        raise _NotClosed from None
