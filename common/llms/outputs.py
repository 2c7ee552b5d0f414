"""What `agenerate` of anybody's class may return, as one `Generation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.cells import kind_of
from common.llms.base import LLM, ChatMessage, Generation

_RETURNED = "a Generation, a text, or distilabel's {'generations': [text], 'statistics': {...}}"


async def generate(llm: LLM, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> Generation:
    """Asks a client once.

    Raises:
        TypeError: its class returns something else than the contract allows.
        Exception: what it raises.
    """
    output = await llm.agenerate(list(messages), **options)
    if isinstance(output, Generation):
        return output
    try:
        return _generation_of(output)
    except TypeError as error:
        raise TypeError(f"agenerate of {type(llm).__name__} {error}; it returns {_RETURNED}") from None


def _generation_of(output: Any) -> Generation:
    if output is None or isinstance(output, str):
        return Generation(output)
    details: Mapping[str, Any] = output if isinstance(output, Mapping) else {"generations": output}
    texts = details.get("generations")
    if not isinstance(texts, list | tuple):
        raise TypeError(f"returned {kind_of(output)} without a list of generations")
    if len(texts) > 1:
        raise TypeError(f"returned {len(texts)} generations where one was asked for (set num_generations of the step)")
    text = _first(texts)
    if text is not None and not isinstance(text, str):
        raise TypeError(f"returned {kind_of(text)} where a text is expected")
    statistics = details.get("statistics") or {}
    return Generation(
        text,
        input_tokens=_first(statistics.get("input_tokens")),
        output_tokens=_first(statistics.get("output_tokens")),
        logprobs=_first(details.get("logprobs")),
    )


def _first(values: Any) -> Any:
    """Of a list with a value for each generation; a single value as it is."""
    if isinstance(values, list | tuple):
        return values[0] if values else None
    return values
