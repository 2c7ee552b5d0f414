"""What makes two requests the same: the API, the model and the body. Not the URL, the key or how long to wait."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

KEY_BYTES = 16
_PART_BYTES = 6
_SHOWN_BYTES = 60
_NOT_PARTS = frozenset(
    {"stream", "stream_options", "user", "safety_identifier", "metadata", "store", "prompt_cache_key"}
)
"""Options that say how an answer is sent, billed or kept, not what it is."""
_PROMPT = ("messages", "contents", "input", "inputs", "prompt")
"""Where the APIs have the conversation."""


@dataclass(frozen=True, slots=True)
class Family:
    """What a request goes to.

    Args:
        api: such as `/chat/completions`.
        model: its name at the endpoint.
        identity: the user's own name for the endpoint, if two serve different models under one name.
    """

    api: str
    model: str
    identity: str = ""


def request_key(family: Family, request: Mapping[str, Any]) -> bytes:
    """Identifies a request: BLAKE2b of its canonical form."""
    body = {name: value for name, value in request.items() if name not in _NOT_PARTS}
    text = orjson.dumps((family.api, family.model, family.identity, body), option=_CANONICAL)
    return hashlib.blake2b(text, digest_size=KEY_BYTES).digest()


def parts_of(family: Family, request: Mapping[str, Any]) -> dict[str, str]:
    """The parts of the key, each as a short text or the digest of a long one, to compare two requests by."""
    parts = {"api": family.api, "model": family.model, "endpoint_identity": family.identity}
    for name, value in request.items():
        if name in _PROMPT and isinstance(value, list):
            parts |= {
                f"{name}[{place}]": _digest(orjson.dumps(one, option=_CANONICAL)) for place, one in enumerate(value)
            }
        elif name not in _NOT_PARTS and name not in parts:
            text = orjson.dumps(value, option=_CANONICAL)
            parts[name] = text.decode() if len(text) <= _SHOWN_BYTES else _digest(text)
    return parts


def is_of_the_prompt(part: str) -> bool:
    """Whether a part differs from row to row."""
    return part.partition("[")[0] in _PROMPT


def _digest(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=_PART_BYTES).hexdigest()


_CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
