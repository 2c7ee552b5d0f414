"""How a prompt asks for a reply of named texts; `reply_parts` reads it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def tags_for(texts: Mapping[str, str], *, as_json: bool = False) -> str:
    """Asks for each text between its tags.

    Args:
        texts: name -> what it holds, as the model is told.
        as_json: ask for a JSON object instead, from a model that must answer in one.
    """
    if as_json:
        return json_for(texts)
    form = "\n".join(f"<{name}>{text}</{name}>" for name, text in texts.items())
    return f"Reply in this form, with nothing before or after it:\n{form}"


def json_for(texts: Mapping[str, str], *, only_texts: bool = True) -> str:
    """Asks for a JSON object: each key with what it holds.

    Args:
        only_texts: tell the model that each key holds a text.
    """
    listed = "\n".join(f'- "{name}": {text}' for name, text in texts.items())
    keys = "Its keys, each with a text" if only_texts else "Its keys"
    return f"Reply with one JSON object and nothing else. {keys}:\n{listed}"


def schema_of(names: Iterable[str]) -> dict[str, Any]:
    """The JSON Schema of an object with a text for each name."""
    return schema_with({name: {"type": "string"} for name in names})


def schema_with(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of an object with these properties, all of them required, and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
