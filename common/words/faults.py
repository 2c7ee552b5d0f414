"""Faults of a pipeline in words, each with its place in the spec."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from inspect import get_annotations
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from common.errors import Loc, SpecFault
from common.words.redaction import hide_secrets, hide_to_the_end

LISTED_NAMES = 12


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most likely stands for, or None."""
    by_lower = {other.lower(): other for other in known}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def hint(name: str, known: Iterable[str], what: str) -> str:
    """The end of a message about an invalid `name`: the closest valid name, else all of them, or the first few.

    Args:
        known: the valid names; a sequence begins with those that matter.
        what: the known names in words, such as "the steps are".
    """
    names = list(known) if (in_order := isinstance(known, Sequence)) else sorted(known)
    if close := nearest(name, names):
        return f"; did you mean '{close}'?"
    is_whole = len(names) <= LISTED_NAMES
    if not names or not (is_whole or in_order):
        return ""
    return f"; {what} {', '.join(names[:LISTED_NAMES])}{'' if is_whole else ', ...'}"


def validation_faults(
    error: ValidationError, owner: str, fields: Mapping[Loc, Iterable[str]], data: Any
) -> Iterator[SpecFault]:
    """Each error of pydantic as a fault, relative to the validated data.

    Unknown names come first: they explain others. Classes that were not found come last: they may be on another host.

    Args:
        owner: whose parameters these are, such as "KeepColumns"; the message begins with it.
        fields: the known names at a place, for the hint about an unknown name.
        data: the validated data; parts of pydantic's places that it does not have (tags of unions) are omitted.
    """
    errors = error.errors(include_url=False)
    for detail in sorted(errors, key=lambda detail: (detail["type"] != "extra_forbidden", _names_a_type(detail))):
        loc = _place(detail["loc"], data)
        problem = _problem(detail, loc, fields)
        if _names_a_type(detail):
            loc += ("type",)  # the name is one level deeper
        yield SpecFault(f"{owner} {problem}", loc)


def dotted(loc: Loc) -> str:
    """`("llm", "stop", 0)` as `llm.stop[0]`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def known_fields(model: type[BaseModel]) -> list[str]:
    """The names under which the fields of a model are given; those that the class declares itself come first."""
    own = [name for cls in model.__mro__ for name in get_annotations(cls)]
    fields = model.model_fields
    return [fields[name].alias or name for name in dict.fromkeys(own) if name in fields]


def shown(value: Any, limit: int = 60) -> str:
    """A value for a message: its repr, shortened, without the values of secret names."""
    text = repr(hide_to_the_end(value)) if isinstance(value, str) else hide_secrets(repr(value))
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _names_a_type(detail: ErrorDetails) -> bool:
    """Whether the error is about a class that was not found."""
    return hasattr(detail.get("ctx", {}).get("error"), "type_name")


def _place(loc: Loc, data: Any) -> Loc:
    kept: list[str | int] = []
    for index, part in enumerate(loc):
        inside = part in data if isinstance(data, dict) else isinstance(data, list | tuple) and isinstance(part, int)
        if inside and not (isinstance(part, int) and part >= len(data)):
            kept.append(part)
            data = data[part]
        elif index == len(loc) - 1 and isinstance(data, dict):
            kept.append(part)
    return tuple(kept)


def _problem(detail: ErrorDetails, loc: Loc, fields: Mapping[Loc, Iterable[str]]) -> str:
    name = dotted(loc)
    if detail["type"] == "extra_forbidden":
        known = fields.get(loc[:-1], ())
        return f"has no parameter '{name}'{hint(str(loc[-1]), known, 'it has')}"
    if detail["type"] == "missing":
        return f"needs the parameter '{name}'"
    if detail["type"] in ("union_tag_not_found", "union_tag_invalid"):
        return _problem_of_tag(detail, name)
    message = detail["msg"]
    if cause := detail.get("ctx", {}).get("error"):
        message = str(cause)
    elif message.startswith("Input should"):
        message = "it" + message.removeprefix("Input")
    if not loc:
        return f"cannot be used this way: {message}"
    value = "" if isinstance(detail["input"], dict) else f", {shown(detail['input'])}"
    return f"has an invalid value for '{name}'{value}: {message}"


def _problem_of_tag(detail: ErrorDetails, name: str) -> str:
    """Of a mapping whose kind is named by one of its keys, such as `{draw: uniform}`."""
    context = detail["ctx"]
    key = context["discriminator"].strip("'")
    if detail["type"] == "union_tag_not_found":
        return f"needs the parameter '{name}.{key}', which says what it is"
    known = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
    return f"has an invalid value for '{name}.{key}', '{context['tag']}'{hint(context['tag'], known, 'it can be')}"
