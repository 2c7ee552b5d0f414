"""The parts of a reply: those between tags, and those of a JSON object, both wherever they stand in it. Pure.

A part that is there twice, is blank or has no end is not chosen or guessed: the reply cannot be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from common.cells import kind_of
from common.errors import RowError

_THOUGHTS_END = "</think>"
_MOST_OBJECTS = 32
"""Braces tried; a reply with more of them before its object is none, which keeps hostile ones cheap."""
_LONGEST_JSON = 400_000
_ITEM = re.compile(r"(?:\*{0,2}\(?(?P<number>\d{1,4})[.):]\*{0,2}|[-*+•])(?:[ \t]+(?P<words>.*))?")
_BETWEEN_WORDS = re.compile(r"[ \t_-]+")


def _with_each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice, and nothing says which one is meant")
    return found


# Models write line ends into texts as they are.
_JSON = json.JSONDecoder(strict=False, object_pairs_hook=_with_each_key_once)


def without_thoughts(reply: str) -> str:
    """What follows the thoughts of a model that writes them into its reply between `<think>` tags."""
    return reply.rpartition(_THOUGHTS_END)[2]


def has_tag(reply: str, name: str) -> bool:
    """Whether the tag of a part opens in a reply, in any case of letters."""
    return f"<{name}>".lower() in reply.lower()


def tagged(reply: str, name: str) -> str:
    """The words between the tags `<name>` and `</name>`.

    Raises:
        RowError: they are not there, or not once.
    """
    text = without_thoughts(reply)
    lower = text.lower()
    opening, closing = f"<{name}>".lower(), f"</{name}>".lower()
    if len(lower) != len(text):  # a letter that has no small form of one character moves all positions
        lower = text
    for tag in (opening, closing):
        if (count := lower.count(tag)) != 1:
            raise RowError(f"{tag} is there {count} times where it is expected once")
    start, end = lower.index(opening) + len(opening), lower.index(closing)
    return words_in(text[start : max(start, end)], opening)


def parts_in(reply: str, names: Sequence[str]) -> dict[str, str]:
    """The words of each part, from tags; from a JSON object if the reply has none of the tags.

    Raises:
        RowError: a part is not there once, with words.
    """
    found = values_of(reply, names)
    return {name: words_in(found[name], f"the key {name}") for name in names}


def values_of(reply: str, names: Sequence[str]) -> dict[str, Any]:
    """The words of each part, from tags; values of any type from a JSON object if the reply has none of the tags.

    Raises:
        RowError: a part is not there once.
    """
    text = without_thoughts(reply)
    if any(has_tag(text, name) for name in names):
        return {name: tagged(text, name) for name in names}
    return whole_object_in(text, names)


def record_in(reply: str, names: Sequence[str]) -> dict[str, str]:
    """The texts of these keys in the JSON object of a reply; see `object_in`.

    Raises:
        RowError: there is no such object, there are several that differ, or a text is missing or blank.
    """
    found = whole_object_in(reply, names)
    return {name: words_in(found[name], f"the key {name}") for name in names}


def whole_object_in(reply: str, names: Sequence[str]) -> dict[str, Any]:
    """The values of all these keys in the JSON object of a reply; see `object_in`.

    Raises:
        RowError: there is no such object, there are several that differ, or a key is missing.
    """
    found = object_in(reply, names)
    if missing := [name for name in names if name not in found]:
        raise RowError(f"its JSON object has no key {', '.join(missing)}")
    return found


def object_in(reply: str, names: Sequence[str]) -> dict[str, Any]:
    """The values of those of these keys that the JSON object of a reply has; it has one of them at least.

    The case of keys and what joins their words is free.

    Raises:
        RowError: there is no such object, there are several that differ, or a key is there twice.
    """
    known = {folded(name): name for name in names}
    records: list[dict[str, Any]] = []
    for value in values_in(without_thoughts(reply), "{"):
        found = [(known[key], text) for name, text in value.items() if (key := folded(name)) in known]
        record = dict(found)
        if len(record) < len(found):
            raise RowError("its JSON object has a key twice")
        if record and record not in records:
            records.append(record)
    if len(records) != 1:
        count = "no JSON object" if not records else "several JSON objects that differ"
        raise RowError(f"{count} with the keys {', '.join(names)}")
    return records[0]


def values_in(text: str, opening: str) -> Iterator[Any]:
    """The outermost JSON objects (`{`) or arrays (`[`) in a text, first to last."""
    start = text.find(opening) if len(text) <= _LONGEST_JSON else -1
    for _ in range(_MOST_OBJECTS):
        if start < 0:
            return
        try:
            value, end = _JSON.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield value
        start = text.find(opening, end)


def folded(name: str) -> str:
    """A key or a label without what models write freely: the case of letters, and what joins its words."""
    return _BETWEEN_WORDS.sub("_", name.strip()).lower()


def words_in(value: Any, where: str) -> str:
    """A text without the blanks around it.

    Args:
        where: it stands, for the error.

    Raises:
        RowError: it is no text, is blank, or cannot be stored.
    """
    if not isinstance(value, str):
        raise RowError(f"{where} holds {kind_of(value)} where text is expected")
    words = value.strip()
    if not words:
        raise RowError(f"{where} has no words")
    try:
        words.encode()
    except UnicodeEncodeError:
        raise RowError(f"{where} holds half a character, which cannot be stored") from None
    return words


def lists_in(reply: str) -> list[list[str]]:
    """The JSON arrays of a reply that hold texts alone, each once, also those in an object. Each text has words."""
    found: list[list[str]] = []
    for value in values_in(without_thoughts(reply), "["):
        if value and isinstance(value, list) and all(isinstance(each, str) for each in value):
            texts = [words_in(each, "the JSON array") for each in value]
            if texts not in found:
                found.append(texts)
    return found


def items_in(reply: str) -> list[str]:
    """The items of the list in a reply, each on a line that begins with a bullet or with its number, from 1 on.

    Prose may stand before the list, and after it apart from it. There are no items if no line is one.

    Raises:
        RowError: an item has no words or more than its line, or the items are not those of one list.
    """
    found: list[str] = []
    numbers: list[int] = []
    is_under_item = has_other_lines = False
    for line in map(str.strip, without_thoughts(reply).splitlines()):
        item = _ITEM.fullmatch(line)
        if item is None:
            if is_under_item and line and not line.startswith("```"):
                raise RowError(f"item {len(found)} of its list has more than one line")
            has_other_lines = has_other_lines or bool(found and line)
        else:
            if has_other_lines:
                raise RowError(f"there are other lines between the items of its list, after item {len(found)}")
            found.append(words_in(item["words"] or "", f"item {len(found) + 1} of its list"))
            numbers += [int(item["number"])] if item["number"] else []
        is_under_item = item is not None
    if numbers and numbers != list(range(1, len(found) + 1)):
        raise RowError("the items of its list are not numbered from 1 on, one by one")
    return found
