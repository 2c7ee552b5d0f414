"""Secrets in a spec are refused: the spec is dumped, logged and sent to the broker."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from common.errors import Loc, SpecFault
from common.words.faults import dotted, shown
from common.words.redaction import hide_passwords, hide_to_the_end
from common.words.secret_marks import has_password, is_secret_header, is_secret_name, is_secret_setting, is_secret_value
from common.words.shown_url import HIDDEN

_COLUMN_NAMES = frozenset({"input_mappings", "output_mappings"})
_ROWS = frozenset({"data", "rows", "examples", "few_shot_examples"})
"""Parameters that hold rows; columns may have any name."""
_NAMING = ("type", "function")
_NAME_IN_MODULE = re.compile(r"[\w.]+:\w+")
_MARK = re.compile(r"[=:][=:\s]*")
_SENT = ("header", "cookie", "env")
"""Parts of names of parameters that hold pairs of a name and a value."""


def refuse_secrets(params: Mapping[str, Any], loc: Loc) -> None:
    """Checks the parameters of a step and everything in them, except rows and column names.

    Raises:
        SpecFault: a key such as `api_key` or `hub_token` holds text, a header or a text is one that carries a key, or
            any text is a URL with a password. The message does not repeat the text.
    """
    for found, in_url in _secrets(params, loc):
        place = hide_to_the_end(dotted(found))
        if in_url:
            raise SpecFault(
                f"'{place}' holds a password in a URL; secrets come from the worker's environment: remove "
                "it from the URL here (a base_url, with its password, may come from OPENAI_BASE_URL there)",
                found,
            )
        raise SpecFault(
            f"'{place}' holds a secret in plain text; secrets come from the worker's environment: remove "
            "it here and export it there (api_key_env: NAME names the variable)",
            found,
        )


def holds_secret(value: Any, loc: Loc) -> bool:
    """Whether the value would be refused at this place."""
    return next(_secrets(value, loc), None) is not None


def hide_given(message: str, given: Any, loc: Loc) -> str:
    """A message that is safe to show. Its own words stay, including `token: either a or b`.

    Args:
        given: the plain data of a spec; the message may repeat its secrets, also short or shortened ones.
        loc: the place that the message is about; the message may repeat its keys and texts, secrets included.
    """
    hidden: dict[str, str] = {}
    for text in (*map(str, loc), *_texts(_at(given, loc), *loc[-1:])):
        if _begins_in(message, text):
            hidden |= _forms(text, hide_to_the_end(text))
    for found, in_url in _secrets(given, ()):
        for text in _texts(_at(given, found)):
            hidden |= _forms(text, hide_to_the_end(text) if in_url else HIDDEN)
        hidden |= _forms(str(found[-1]), hide_to_the_end(str(found[-1])))
    words = [words for words, shown in hidden.items() if words in message and words != shown]
    if words:
        longest_first = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
        message = re.sub(rf"(?<!\w)(?:{longest_first})(?!\w)", lambda found: hidden[found[0]], message)
    return hide_passwords(message)


def _begins_in(message: str, text: str) -> bool:
    """Whether the message repeats the text, or the beginning of it."""
    return text in message or repr(text)[1:50] in message


def _forms(text: str, instead: str) -> Iterator[tuple[str, str]]:
    """How a message repeats a text, and what replaces it."""
    yield text, instead
    yield repr(text)[1:-1], repr(instead)[1:-1]
    yield repr(text), repr(instead)
    yield shown(text), shown(instead)


def _at(data: Any, loc: Loc) -> Any:
    """The value at a place, or at the closest enclosing one."""
    for part in loc:
        try:
            data = data[part]
        except (LookupError, TypeError):
            break
    return data


def _texts(value: Any, key: str | int = "") -> Iterator[str]:
    """Texts and numbers in plain data, except names of classes and functions."""
    if isinstance(value, Mapping | list):
        for name, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _texts(inner, name)
    elif _is_filled(value) and not (key in _NAMING and _NAME_IN_MODULE.fullmatch(str(value))):
        yield str(value)


def _secrets(value: Any, loc: Loc) -> Iterator[tuple[Loc, bool]]:
    """The places of secrets, and whether each is in a URL."""
    sent = any(word in str(part).lower() for part in loc for word in _SENT)
    if isinstance(value, str):
        if has_password(value):
            yield loc, True
        elif is_secret_value(value) or (sent and is_secret_header(value)):
            yield loc, False
    elif isinstance(value, Mapping):
        named = value.get("name", value.get("key"))  # {name: Authorization, value: ...}
        if isinstance(named, str) and _names_secret(named, value.get("value")):
            yield (*loc, "value"), False
        for name, inner in value.items():
            if name in _COLUMN_NAMES or (name in _ROWS and isinstance(inner, list)):
                continue
            if any(_holds_secret(*reading) for reading in _readings(str(name), inner)):
                yield (*loc, name), False
            else:
                yield from _secrets(inner, (*loc, name))
    elif isinstance(value, list):
        match value:
            case [str(name), second] if sent and _names_secret(name, second):
                yield (*loc, 1), False
            case _:
                for place, inner in enumerate(value):
                    yield from _secrets(inner, (*loc, place))


def _readings(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The names in a key, each with its value: {api_key=x} and {svc:api_key:x} are keys without a value."""
    yield key, value
    yield from pairwise(_MARK.split(key))


def _holds_secret(name: str, value: Any) -> bool:
    """Whether a key with a secret's name has a value that may be one: a text, several texts, or a number."""
    if isinstance(value, Mapping):
        return is_secret_name(name) and name.lower().startswith("cookie") and any(map(_is_filled, value.values()))
    return any(_names_secret(name, inner) for inner in (value if isinstance(value, list) else [value]))


def _names_secret(name: str, value: Any) -> bool:
    return _is_filled(value) and is_secret_setting(name, str(value))


def _is_filled(value: Any) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or (isinstance(value, int) and not isinstance(value, bool))
