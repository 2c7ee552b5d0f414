"""What models cost, per million tokens, and what calls of them cost. Pure. An unknown price is unknown, never zero."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from common.protocol.usage import Counts

MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens.

    Args:
        input: of the prompt.
        output: of the answer, its reasoning included.
        cached: of the prompt's tokens that the endpoint had in its cache; None for the price of any other.
    """

    input: float
    output: float
    cached: float | None = None

    @property
    def is_free(self) -> bool:
        """Whether it costs nothing, however many tokens there were."""
        return not (self.input or self.output or self.cached)

    def of(self, counts: Counts) -> float:
        """Dollars, for the tokens that are known."""
        cached = self.input if self.cached is None else self.cached
        whole = counts.input_tokens - counts.cached_tokens
        return (whole * self.input + counts.cached_tokens * cached + counts.output_tokens * self.output) / MILLION


AS_OF: Final = "2026-06"
"""Month of the table: list prices of the providers for text, in the standard tier, without surcharges."""

TABLE: Final[Mapping[str, Price]] = {
    "echo": Price(0, 0, 0),
    # OpenAI
    "gpt-3.5-turbo": Price(0.5, 1.5),
    "gpt-4-turbo": Price(10, 30),
    "gpt-4o": Price(2.5, 10, 1.25),
    "gpt-4o-mini": Price(0.15, 0.6, 0.075),
    "gpt-4.1": Price(2, 8, 0.5),
    "gpt-4.1-mini": Price(0.4, 1.6, 0.1),
    "gpt-4.1-nano": Price(0.1, 0.4, 0.025),
    "gpt-5": Price(1.25, 10, 0.125),
    "gpt-5-mini": Price(0.25, 2, 0.025),
    "gpt-5-nano": Price(0.05, 0.4, 0.005),
    "gpt-5.1": Price(1.25, 10, 0.125),
    "gpt-5.2": Price(1.75, 14, 0.175),
    "o1": Price(15, 60, 7.5),
    "o3": Price(2, 8, 0.5),
    "o3-mini": Price(1.1, 4.4, 0.55),
    "o4-mini": Price(1.1, 4.4, 0.275),
    "text-embedding-3-small": Price(0.02, 0),
    "text-embedding-3-large": Price(0.13, 0),
    # Anthropic
    "claude-3-5-haiku": Price(0.8, 4, 0.08),
    "claude-3-7-sonnet": Price(3, 15, 0.3),
    "claude-sonnet-4": Price(3, 15, 0.3),
    "claude-sonnet-4-5": Price(3, 15, 0.3),
    "claude-sonnet-4-6": Price(3, 15, 0.3),
    "claude-haiku-4-5": Price(1, 5, 0.1),
    "claude-opus-4": Price(15, 75, 1.5),
    "claude-opus-4-1": Price(15, 75, 1.5),
    "claude-opus-4-5": Price(5, 25, 0.5),
    "claude-opus-4-6": Price(5, 25, 0.5),
    # Google, prompts of at most 200,000 tokens
    "gemini-2.5-flash": Price(0.3, 2.5, 0.03),
    "gemini-2.5-flash-lite": Price(0.1, 0.4, 0.01),
    "gemini-2.5-pro": Price(1.25, 10, 0.125),
}
"""Only names that mean one model wherever it is served: an open model costs something else at each host."""

_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
_VENDORS = ("openai/", "anthropic/", "google/", "models/")


class Prices:
    """Prices by the model's name in the spec.

    Args:
        own: those of the spec, which take precedence.
    """

    def __init__(self, own: Mapping[str, Price] | None = None) -> None:
        self._own = own or {}

    def of(self, model: str) -> Price | None:
        """That of the name itself, else that of the name without a vendor in front and a date at its end.

        `openai/gpt-4o-2024-08-06` has the price of `gpt-4o`; `gpt-4o-audio-preview` has none.
        """
        for name in _spellings(model):
            if (price := self._own.get(name) or TABLE.get(name)) is not None:
                return price
        return None


def _spellings(model: str) -> Iterable[str]:
    yield model
    short = model
    for vendor in _VENDORS:
        short = short.removeprefix(vendor)
    yield short
    yield _SNAPSHOT.sub("", model)
    yield _SNAPSHOT.sub("", short)


@dataclass(frozen=True, slots=True)
class Cost:
    """What calls cost, as far as that is known.

    Args:
        dollars: the part that is known.
        unpriced: models without a price.
        unreported: models that did not say how many tokens some answers took.
        priced: whether anything has a price.
    """

    dollars: float = 0.0
    unpriced: tuple[str, ...] = ()
    unreported: tuple[str, ...] = ()
    priced: bool = False

    @classmethod
    def of(cls, parts: Iterable[tuple[str, Counts, Price | None]]) -> Cost:
        """The cost of calls of several models."""
        dollars, unpriced, unreported, priced = 0.0, set(), set(), False
        for model, counts, price in parts:
            if not counts.requests:
                continue
            if price is None:
                unpriced.add(model)
                continue
            priced = priced or counts.requests > counts.unreported or price.is_free
            dollars += price.of(counts)
            if counts.unreported and not price.is_free:
                unreported.add(model)
        return cls(dollars, tuple(sorted(unpriced)), tuple(sorted(unreported)), priced)

    @property
    def is_whole(self) -> bool:
        """Whether no part of it is unknown."""
        return not self.unpriced and not self.unreported

    def __str__(self) -> str:
        why = []
        if self.unpriced:
            why.append(f"no price for {', '.join(self.unpriced)}")
        if self.unreported:
            why.append(f"some answers of {', '.join(self.unreported)} came without their tokens")
        if self.is_whole:
            return money(self.dollars)
        known = f"at least {money(self.dollars)}" if self.priced else "cost unknown"
        return f"{known}; {'; '.join(why)}"


def money(dollars: float) -> str:
    """`$12.34`; two digits that matter below a dollar: `$0.0042`."""
    if dollars >= 1:
        return f"${dollars:,.2f}"
    if not dollars:
        return "$0"
    shown = f"{dollars:.10f}"
    first = next((place for place, mark in enumerate(shown) if mark in "123456789"), None)
    return "less than $0.00000001" if first is None else f"${float(shown):.{first}f}"
