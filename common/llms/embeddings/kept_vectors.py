"""Vectors of texts that were paid for: each text's is kept by itself, so that it is found in any batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import orjson

from common.llms.answers.row_answers import SharedQuestion
from common.llms.apis.embeddings import Encoded
from common.llms.base import Generation
from common.llms.embeddings.base import Vector
from common.llms.metering import Paid, note_answer

Encode = Callable[[Sequence[str]], Awaitable[Encoded]]


async def encoded_once(
    model: str, inputs: Sequence[str], questions: Sequence[SharedQuestion], batch_size: int, encode: Encode
) -> list[Vector]:
    """A vector for each text: one that is kept, or else the endpoint's, which is then kept. Equal texts are asked once.

    What the row itself has paid for before counts as kept; what another row has paid for is saved.

    Args:
        model: its name in the spec.
        questions: one for each text.
        encode: asks for at most `batch_size` texts, and counts that.
    """
    wanted = {question.key: (text, question) for text, question in zip(inputs, questions, strict=True)}
    found = await asyncio.gather(*(question.find() for _, question in wanted.values()))
    vectors: dict[bytes, Vector] = {}
    tokens_of: dict[Paid, list[int | None]] = {}
    for (_, question), one in zip(wanted.values(), found, strict=True):
        if one is not None:
            kept = orjson.loads(one.reply)
            vectors[question.key] = kept["vector"]
            paid: Paid = "earlier" if one.is_own and kept["row"] == question.row_mark else "elsewhere"
            tokens_of.setdefault(paid, []).append(kept["tokens"])
    for paid, tokens in tokens_of.items():
        note_answer(model, _took(tokens), paid)
    missing = [key for key in wanted if key not in vectors]
    for first in range(0, len(missing), batch_size):
        keys = missing[first : first + batch_size]
        texts = [wanted[key][0] for key in keys]
        encoded = await encode(texts)
        for key, vector, took in zip(keys, encoded.vectors, shares(encoded.tokens, texts), strict=True):
            vectors[key] = vector
            question = wanted[key][1]
            question.keep(orjson.dumps({"vector": vector, "tokens": took, "row": question.row_mark}))
    return [vectors[question.key] for question in questions]


def shares(tokens: int | None, texts: Sequence[str]) -> list[int | None]:
    """About how many tokens each text took: endpoints report those of all. The sum is exact."""
    if tokens is None:
        return [None] * len(texts)
    whole, before, found = sum(map(len, texts)) or 1, 0, []
    for text in texts:
        found.append(tokens * (before + len(text)) // whole - tokens * before // whole)
        before += len(text)
    if texts and before == 0:  # empty texts have tokens too
        found[-1] = tokens
    return list(found)


def _took(tokens: Sequence[int | None]) -> Generation:
    reported = [one for one in tokens if one is not None]
    known = sum(reported) if len(reported) == len(tokens) else None
    return Generation(None, input_tokens=known, output_tokens=None if known is None else 0)
