"""What models cost, and what calls of them cost. Pure. An unknown price is unknown, never zero."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from common.llms.price_table import TABLE, Price
from common.protocol.usage import Counts

_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
_VENDORS = ("openai/", "anthropic/", "google/", "mistralai/", "models/", "x-ai/")


class Prices:
    """Prices by the model's name in the spec.

    Args:
        own: those of the spec, which take precedence.
    """

    def __init__(self, own: Mapping[str, Price] | None = None) -> None:
        self._own = own or {}

    def of(self, model: str) -> Price | None:
        """That of the name itself, else that of the name without a vendor in front and a date at its end.

        `openai/gpt-4o-2024-08-06` has the price of `gpt-4o`; `gpt-4o-audio-preview` has none. OpenRouter's
        `anthropic/claude-sonnet-4.5` is Anthropic's `claude-sonnet-4-5`.
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
    if short.startswith("claude-"):
        short = short.replace(".", "-")
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
