"""What calls of models took: requests and tokens, per model. Pure; sums do not depend on their order."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, fields
from typing import Any, Final

from common.protocol.checks import as_count, as_list, as_text

MODEL_CHARACTERS: Final = 200
"""Most characters kept of a model's name."""
MOST_MODELS: Final = 200
"""Most models of one message."""
OTHER: Final = "other"
_REASON = re.compile(r"[\w .-]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Counts:
    """What calls of one model took.

    Args:
        requests: answers that came, whatever was in them; a request that was refused or got no answer is not one.
        unreported: those of them whose tokens are unknown.
        input_tokens: of prompts, cached ones included.
        cached_tokens: those of them that the endpoint had in its cache.
        output_tokens: of answers, reasoning included.
        reasoning_tokens: those of them that were reasoning.
        finish_reasons: (why the model stopped, how often), sorted.
    """

    requests: int = 0
    unreported: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    finish_reasons: tuple[tuple[str, int], ...] = ()

    def __add__(self, other: Counts) -> Counts:
        # Spelt out, since it runs for each answer.
        return Counts(
            self.requests + other.requests,
            self.unreported + other.unreported,
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            _summed(self.finish_reasons, other.finish_reasons),
        )

    def or_more(self, other: Counts) -> Counts:
        """The larger number of each pair."""
        numbers = {name: max(getattr(self, name), getattr(other, name)) for name in _NUMBERS}
        reasons = Counter(dict(self.finish_reasons)) | Counter(dict(other.finish_reasons))
        return Counts(**numbers, finish_reasons=tuple(sorted(reasons.items())))

    def without(self, other: Counts) -> Counts:
        """What is left beside the other ones; never less than nothing."""
        numbers = {name: max(getattr(self, name) - getattr(other, name), 0) for name in _NUMBERS}
        reasons = Counter(dict(self.finish_reasons)) - Counter(dict(other.finish_reasons))
        return Counts(**numbers, finish_reasons=tuple(sorted(reasons.items())))


def _summed(some: tuple[tuple[str, int], ...], others: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    if not some or not others:
        return some or others
    found = dict(some)
    for reason, times in others:
        found[reason] = found.get(reason, 0) + times
    return tuple(sorted(found.items()))


NO_COUNTS: Final = Counts()
_NUMBERS = tuple(each.name for each in fields(Counts) if each.name != "finish_reasons")


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls of models took: (model, counts), sorted by model. An empty one is false."""

    models: tuple[tuple[str, Counts], ...] = ()

    @classmethod
    def of_call(
        cls,
        model: str,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        finish_reason: str | None = None,
    ) -> Usage:
        """One answer. Its tokens are unknown if those of the prompt or those of the answer are."""
        known = input_tokens is not None and output_tokens is not None
        reason = finish_reason if finish_reason and _REASON.fullmatch(finish_reason) else OTHER
        counts = Counts(
            requests=1,
            unreported=0 if known else 1,
            input_tokens=input_tokens or 0,
            cached_tokens=min(cached_tokens or 0, input_tokens or 0),
            output_tokens=output_tokens or 0,
            reasoning_tokens=min(reasoning_tokens or 0, output_tokens or 0),
            finish_reasons=((reason, 1),) if finish_reason else (),
        )
        return cls(((model[:MODEL_CHARACTERS], counts),))

    def __bool__(self) -> bool:
        return bool(self.models)

    def __add__(self, other: Usage) -> Usage:
        if not self.models or not other.models:
            return self if self.models else other
        if len(self.models) == len(other.models) == 1 and self.models[0][0] == other.models[0][0]:
            return Usage(((self.models[0][0], self.models[0][1] + other.models[0][1]),))
        summed = dict(self.models)
        for model, counts in other.models:
            summed[model] = summed[model] + counts if model in summed else counts
        return Usage(tuple(sorted(summed.items(), key=lambda each: each[0])))

    def of(self, model: str) -> Counts:
        """Those of one model."""
        return dict(self.models).get(model, Counts())

    @property
    def total(self) -> Counts:
        """Those of all models."""
        return sum((counts for _, counts in self.models), Counts())


NO_USAGE: Final = Usage()


def usage_out(usage: Usage) -> list[list[Any]]:
    """As plain data for a message."""
    return [
        [model, *(getattr(counts, name) for name in _NUMBERS), [list(reason) for reason in counts.finish_reasons]]
        for model, counts in usage.models[:MOST_MODELS]
    ]


def usage_in(data: Any) -> Usage:
    """The inverse; raises ValueError or TypeError for anything else."""
    found: dict[str, Counts] = {}
    for one in as_list(data, "models"):
        model, *numbers, reasons = as_list(one)
        if len(numbers) != len(_NUMBERS) or len(found) >= MOST_MODELS:
            raise ValueError("it does not say what calls of models took")
        counted = tuple(sorted((as_text(reason), as_count(times)) for reason, times in as_list(reasons)))
        named = dict(zip(_NUMBERS, map(as_count, numbers), strict=True))
        found[as_text(model)[:MODEL_CHARACTERS]] = Counts(**named, finish_reasons=counted)
    return Usage(tuple(sorted(found.items(), key=lambda each: each[0])))
