"""A model that answers in another form for some rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from common.errors import PenstockError, RowError, words_of
from common.llms.base import LLM
from common.llms.structured.structured_output import StructuredOutput

MOST_FORMS = 1_000
"""Most forms that a task keeps; beyond, one is read again for each of its rows."""


def llm_with_form(llm: LLM, form: StructuredOutput | Mapping[str, Any], known: dict[bytes, LLM]) -> LLM:
    """The same open client, whose answers have the form.

    Args:
        form: as `structured_output` of an LLM has it.
        known: the clients of earlier rows by their form; the new one is added.

    Raises:
        RowError: it is not a form, or the client cannot demand one.
    """
    try:
        plain = form.model_dump(by_alias=True) if isinstance(form, StructuredOutput) else form
        key = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError) as error:
        raise RowError(f"structured_output cannot be read: {error}") from None
    if (found := known.get(key)) is not None:
        return found
    try:
        # A row is data: nothing that it names is imported.
        made = llm.with_form(StructuredOutput.model_validate(plain, context={"allow": ()}))
    except ValidationError as error:
        faults = "; ".join(each["msg"] for each in error.errors(include_url=False, include_context=False))
        raise RowError(f"structured_output of the row: {faults}") from None
    except PenstockError as error:
        raise RowError(f"structured_output of the row: {words_of(error)}") from None
    if len(known) < MOST_FORMS:
        known[key] = made
    return made
