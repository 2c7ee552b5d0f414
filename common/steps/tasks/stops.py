"""Where the answer of a model that continues a text ends."""

from __future__ import annotations

from collections.abc import Sequence

from common.llms.base import LLM

_NAMES = ("stop", "stop_sequences")


def stopping_before(llm: LLM, texts: Sequence[str]) -> LLM:
    """The same client, whose answers end before these texts, so that a model does not go on for all of its tokens.

    A client that sends conversations ends its answers itself; one whose `generation_kwargs` say where they end keeps
    that.
    """
    given = llm.generation_kwargs
    if not llm.continues_text or not llm.takes_option("stop") or any(name in given for name in _NAMES):
        return llm
    return llm.model_copy(update={"generation_kwargs": {**given, "stop": list(texts)}})
