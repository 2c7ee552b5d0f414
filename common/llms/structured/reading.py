"""Reads an answer that must have a form, and says what is wrong with one that has another. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from common.llms.structured.structured_output import StructuredOutput

_FENCED = re.compile(r"```[\w-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.DOTALL)
_LONGEST_FAULT = 300


class WrongForm(ValueError):
    """An answer does not have the form; the message says why, for people and for the model."""


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer of the right form.

    Args:
        text: without a code fence around it, or blanks.
        value: of the JSON; for other formats the text.
    """

    text: str
    value: Any


def read(form: StructuredOutput, answer: str) -> Reading:
    """Reads an answer.

    A grammar is not checked here: an endpoint that is told it makes no other text.

    Raises:
        WrongForm: it does not have the form.
    """
    if form.format == "json":
        return _read_json(form.schema_, answer)
    for text in (answer, answer.strip()):
        if form.format == "grammar":
            return Reading(text, text)
        if form.format == "choice" and text in form.schema_:
            return Reading(text, text)
        if form.format == "regex" and re.fullmatch(form.schema_, text):
            return Reading(text, text)
    if form.format == "choice":
        raise WrongForm(f"it is not one of {', '.join(form.schema_)}")
    raise WrongForm(f"it does not match the regular expression {form.schema_}")


def json_in(answer: str) -> Reading:
    """The JSON that an answer consists of, maybe in a code fence. Raises WrongForm: it is something else."""
    text = answer.strip()
    fences = _FENCED.findall(text)
    if len(fences) == 1 and not text.startswith(("{", "[", '"')):
        text = fences[0].strip()
    try:
        return Reading(text, orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise WrongForm(f"it is not JSON: {error}") from None


def _read_json(schema: Any, answer: str) -> Reading:
    found = json_in(answer)
    try:
        fault = _fault(schema, found.value)
    except RecursionError:
        fault = "it is nested too deeply"
    if fault:
        raise WrongForm(fault)
    return found


def _fault(schema: Any, value: Any) -> str:
    """How a value breaks the schema; empty if it does not."""
    from jsonschema.exceptions import best_match
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry

    kind = validator_for(schema, default=Draft202012Validator)
    # An empty registry: a schema never makes this process fetch a URL.
    validator = kind(schema, registry=Registry(), format_checker=kind.FORMAT_CHECKER)
    error = best_match(validator.iter_errors(value))
    return "" if error is None else f"at {error.json_path}: {error.message[:_LONGEST_FAULT]}"
