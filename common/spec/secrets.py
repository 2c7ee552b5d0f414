"""Secrets that are written into a spec are refused: it is dumped, logged and sent to the broker."""

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
"""Parameters that hold rows, whose columns may have any name."""
_NAMING = ("type", "function")
_NAME_IN_MODULE = re.compile(r"[\w.]+:\w+")
_MARK = re.compile(r"[=:][=:\s]*")
_SENT = ("header", "cookie", "env")
"""In names of parameters that hold pairs of a name and a value."""


def refuse_secrets(params: Mapping[str, Any], loc: Loc) -> None:
    """Looks at the parameters of a step, and at all that is in them but rows and names of columns.

    Raises:
        SpecFault: a key such as `api_key` or `hub_token` holds text, a header or a text is one that carries a key, or
            any text is a URL with a password. The message does not repeat the text.
    """
    for found, in_url in _secrets(params, loc):
        place = hide_to_the_end(dotted(found))
        if in_url:
            raise SpecFault(
                f"'{place}' holds a password in a URL; secrets come from the environment of the worker: take "
                "it out of the URL here (a base_url may come from OPENAI_BASE_URL there, password and all)",
                found,
            )
        raise SpecFault(
            f"'{place}' holds a secret in plain text; secrets come from the environment of the worker: remove "
            "it here and export it there (api_key_env: NAME says in which variable)",
            found,
        )


def holds_secret(value: Any, loc: Loc) -> bool:
    """Would the value be refused at this place?"""
    return next(_secrets(value, loc), None) is not None


def hide_given(message: str, given: Any, loc: Loc) -> str:
    """A message as it may be shown. Its own words stay, also those such as `token: either a or b`.

    Args:
        given: the plain data of a spec, of which the message may repeat secrets: also short ones, and cut ones.
        loc: the place that the message is about, of which it may repeat keys and texts that have a secret in them.
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
    """Does the message repeat the text, or the beginning of it? Of a spec with many rows, it repeats few."""
    return text in message or repr(text)[1:50] in message


def _forms(text: str, instead: str) -> Iterator[tuple[str, str]]:
    """How a message repeats a text, and what it may say instead."""
    yield text, instead
    yield repr(text)[1:-1], repr(instead)[1:-1]
    yield repr(text), repr(instead)
    yield shown(text), shown(instead)


def _at(data: Any, loc: Loc) -> Any:
    """What is at a place, or at the nearest one around it."""
    for part in loc:
        try:
            data = data[part]
        except (LookupError, TypeError):
            break
    return data


def _texts(value: Any, key: str | int = "") -> Iterator[str]:
    """Texts and numbers in plain data, but for names of classes and functions."""
    if isinstance(value, Mapping | list):
        for name, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _texts(inner, name)
    elif _is_filled(value) and not (key in _NAMING and _NAME_IN_MODULE.fullmatch(str(value))):
        yield str(value)


def _secrets(value: Any, loc: Loc) -> Iterator[tuple[Loc, bool]]:
    """Where secrets are, and whether it is a URL that holds it."""
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
    """What a key may name, and with which value: {api_key=x} and {svc:api_key:x} are keys without a value."""
    yield key, value
    yield from pairwise(_MARK.split(key))


def _holds_secret(name: str, value: Any) -> bool:
    """Of a key that is named as a secret: a text, several ones, or a number in the place of one."""
    if isinstance(value, Mapping):
        return is_secret_name(name) and name.lower().startswith("cookie") and any(map(_is_filled, value.values()))
    return any(_names_secret(name, inner) for inner in (value if isinstance(value, list) else [value]))


def _names_secret(name: str, value: Any) -> bool:
    return _is_filled(value) and is_secret_setting(name, str(value))


def _is_filled(value: Any) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or (isinstance(value, int) and not isinstance(value, bool))
