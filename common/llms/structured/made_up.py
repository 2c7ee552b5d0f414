"""A value that is valid under a JSON Schema, made up for a pipeline that is tried without a model. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from common.llms.structured.structured_output import root_of

_FORMATS = {
    "date": "2026-07-14",
    "time": "12:30:00Z",
    "date-time": "2026-07-14T12:30:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_RANGE = 4
"""How far numbers range beyond their only bound."""
_TENTHS = 10
_ITEMS = 3
"""Most elements of a list that may have more."""
_DEPTH = 4
"""Depth from which on only what is required is made, so that schemas that refer to themselves come to an end."""


@dataclass(frozen=True, slots=True)
class MadeUp:
    """Makes up values under one schema.

    Patterns, and conditions on a whole object or list, are not followed: such a value may be invalid.

    Args:
        schema: the whole, to which references point.
        draws: numbers and choices come from it.
        text: makes the text for a place in the value, such as `reason`.
    """

    schema: Mapping[str, Any]
    draws: random.Random
    text: Callable[[str], str]

    def value(self) -> Any:
        """Raises RecursionError: the schema admits no finite value."""
        return self._value(self.schema, "answer", 0)

    def _value(self, given: Any, name: str, depth: int) -> Any:
        schema = self._plain(given)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self.draws.choice(schema["enum"])
        for word in ("anyOf", "oneOf"):
            if options := schema.get(word):
                kinds = [self._plain(each) for each in options]
                rest = {key: value for key, value in schema.items() if key != word}
                return self._value({**rest, **self._chosen(kinds, {"type": "null"}, depth)}, name, depth)
        if isinstance(schema.get("type"), list):
            return self._value({**schema, "type": self._chosen(schema["type"], "null", depth)}, name, depth)
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return self._integer(schema)
            case "number":
                return self._number(schema)
            case "boolean":
                return self.draws.random() < 0.5
            case "null":
                return None
        return self._text(schema, name)

    def _chosen(self, options: list[Any], null: Any, depth: int) -> Any:
        return null if null in options and depth >= _DEPTH else self.draws.choice(options)

    def _plain(self, schema: Any) -> dict[str, Any]:
        """The same without a reference at its top, and with what `allOf` adds."""
        if not isinstance(schema, Mapping):  # true and false are schemas too
            return {}
        found = dict(schema)
        if ref := found.pop("$ref", None):
            found = {**root_of({**self.schema, "$ref": ref}), **found}
        for part in found.pop("allOf", ()):
            found |= self._plain(part)
        return found

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties", {}), schema.get("required", ())
        names = [name for name in properties if name in required or depth < _DEPTH]
        names += [name for name in required if name not in properties]
        return {name: self._value(properties.get(name), name, depth + 1) for name in names}

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        first, others = schema.get("prefixItems", ()), schema.get("items", {})
        least = schema.get("minItems", 1 if depth < _DEPTH else 0)
        most = min(schema.get("maxItems", math.inf), max(least, _ITEMS))
        least = min(least, most)
        count = self.draws.randint(least, int(most)) if depth < _DEPTH else least
        schemas = [first[number] if number < len(first) else others for number in range(count)]
        return [self._value(each, f"{name} {number}", depth + 1) for number, each in enumerate(schemas, start=1)]

    def _integer(self, schema: Mapping[str, Any]) -> int:
        step = schema.get("multipleOf", 1)
        step = int(step) if step == int(step) else 1
        low, high = _bounds(schema)
        first, last = math.ceil(low / step), math.floor(high / step)
        first += first * step <= schema.get("exclusiveMinimum", -math.inf)
        last -= last * step >= schema.get("exclusiveMaximum", math.inf)
        return self.draws.randint(first, max(first, last)) * step

    def _number(self, schema: Mapping[str, Any]) -> float:
        if "multipleOf" in schema:
            return self._integer(schema)
        low, high = _bounds(schema)
        inside = "exclusiveMinimum" in schema or "exclusiveMaximum" in schema
        tenths = self.draws.randint(int(inside), _TENTHS - int(inside))
        return low + (high - low) * tenths / _TENTHS

    def _text(self, schema: Mapping[str, Any], name: str) -> str:
        text = _FORMATS.get(schema.get("format", "")) or self.text(name)
        text = text.ljust(schema.get("minLength", 0), ".")
        return text[: schema.get("maxLength", len(text))]


def _type_of(schema: Mapping[str, Any]) -> str:
    words = {"properties": "object", "required": "object", "items": "array", "prefixItems": "array"}
    words |= {"minimum": "number", "maximum": "number"}
    by_words = next((kind for word, kind in words.items() if word in schema), "string")
    return str(schema.get("type", by_words))


def _bounds(schema: Mapping[str, Any]) -> tuple[float, float]:
    lows = [schema[word] for word in ("minimum", "exclusiveMinimum") if word in schema]
    highs = [schema[word] for word in ("maximum", "exclusiveMaximum") if word in schema]
    low = max(lows) if lows else min(highs) - _RANGE if highs else 0
    return low, min(highs) if highs else low + _RANGE
