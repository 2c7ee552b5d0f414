"""Answers of LLMs of a user's own, which know no store: kept if their class says that they may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import orjson
from pydantic import SecretStr

from common.errors import PenstockError
from common.llms.answers.request_key import Family
from common.llms.answers.row_answers import Question, question
from common.llms.base import LLM, ChatMessage, Generation
from common.llms.metering import note_answer
from common.llms.outputs import generate
from common.naming.plain_data import dump_value
from common.naming.registry import spec_type


async def generate_once(llm: LLM, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> Generation:
    """An answer that is kept, or else the client's, which is then kept if `keeps_answers` allows it.

    Raises: as `generate`.
    """
    asked = _question(llm, messages, options) if llm.keeps_answers else None
    if asked is None:
        return await generate(llm, messages, options)
    if (found := await asked.find()) is not None:
        kept = Generation(**orjson.loads(found.reply), cached=found.cached)
        note_answer(llm.model_name, kept, found.cached)
        return kept
    try:
        answer = await generate(llm, messages, options)
        reply = _packed(answer)
    except BaseException:
        asked.failed()
        raise
    if reply is None:
        asked.failed()
    else:
        asked.keep(reply)
    return answer


def _question(llm: LLM, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> Question | None:
    """None if the class has no name, or its parameters no text form, by which another process could know them."""
    try:
        parameters = {
            name: dump_value(value)
            for name, field in type(llm).model_fields.items()
            if not field.exclude and not isinstance(value := getattr(llm, name), SecretStr)
        }
        family = Family(spec_type(type(llm)), llm.model_name, llm.model_identity)
        return question(family, {"messages": list(messages), "options": options, "parameters": parameters})
    except (PenstockError, TypeError, ValueError):
        return None


def _packed(answer: Generation) -> bytes | None:
    """None if it holds something that is not JSON."""
    fields = asdict(replace(answer, cached=None))
    del fields["cached"]
    try:
        return orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:
        return None
