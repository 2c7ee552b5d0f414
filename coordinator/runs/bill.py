"""What a run's calls of models took and cost: kept, spent, wasted and saved, per step and model. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from common.llms.price_table import Price
from common.llms.prices import Cost, Prices
from common.protocol.usage import NO_COUNTS, Counts, Usage
from common.words.printable import one_line
from common.words.wording import count

_NAME_BYTES: Final = 60


@dataclass(frozen=True, slots=True)
class BillLine:
    """One model of one step.

    Args:
        kept: answers that are in the dataset, or on their way there; exact, whatever happened to the run.
        spent: all answers, also those of rows that failed, of bad answers, and of work that was done twice.
        saved: answers in the dataset that another run, or for vectors another row, has paid for.
        price: per million tokens; None if unknown.
    """

    step: str
    model: str
    kept: Counts = NO_COUNTS
    spent: Counts = NO_COUNTS
    saved: Counts = NO_COUNTS
    price: Price | None = None

    @property
    def wasted(self) -> Counts:
        """Spent and not kept."""
        return self.spent.without(self.kept)


@dataclass(frozen=True, slots=True)
class Bill:
    """Lines in the order of the pipeline, and of models' names. A run that asked no model has none.

    Args:
        is_lower_bound: a worker was killed, and what it had spent last is not in `spent`.
    """

    lines: tuple[BillLine, ...] = ()
    is_lower_bound: bool = False

    @classmethod
    def make(
        cls,
        kept: Mapping[str, Usage],
        saved: Mapping[str, Usage],
        spent: Mapping[str, Usage],
        prices: Prices,
        *,
        is_lower_bound: bool = False,
    ) -> Bill:
        """The bill of a run; each mapping is by step, `kept` in the order of the pipeline and with all steps."""
        lines = []
        for step in kept:
            of_step = [each.get(step, Usage()) for each in (kept, spent, saved)]
            for model in sorted({model for usage in of_step for model, _ in usage.models}):
                keeps, spends, saves = (usage.of(model) for usage in of_step)
                lines.append(BillLine(step, model, keeps, spends.or_more(keeps), saves, prices.of(model)))
        return cls(tuple(lines), is_lower_bound)

    def __bool__(self) -> bool:
        return bool(self.lines)

    @property
    def kept(self) -> Counts:
        """Of all lines; so are the other totals."""
        return sum((line.kept for line in self.lines), Counts())

    @property
    def spent(self) -> Counts:
        """See `BillLine`."""
        return sum((line.spent for line in self.lines), Counts())

    @property
    def wasted(self) -> Counts:
        """See `BillLine`."""
        return sum((line.wasted for line in self.lines), Counts())

    @property
    def saved(self) -> Counts:
        """See `BillLine`."""
        return sum((line.saved for line in self.lines), Counts())

    def cost(self, part: str = "spent") -> Cost:
        """Of `kept`, `spent`, `wasted` or `saved` answers."""
        return Cost.of((line.model, getattr(line, part), line.price) for line in self.lines)

    def words(self) -> Iterator[tuple[str, str]]:
        """(name, text) of each line for people: what was spent; then what of it was wasted, and what was saved."""
        if not self:
            return
        bound = "at least " if self.is_lower_bound else ""
        yield "models", f"{bound}{counts_in_words(self.spent)}; {self._cost('spent')}"
        if self.wasted.requests:
            yield "wasted", f"{bound}{counts_in_words(self.wasted)}; {self._cost('wasted')}"
        if self.saved.requests:
            yield "saved", f"{counts_in_words(self.saved)}, paid for before; {self._cost('saved')}"
        if self.is_lower_bound:
            yield "", "a worker was killed, and its last calls are not counted"

    def _cost(self, part: str) -> str:
        return one_line(str(self.cost(part)), 300)

    def rows(self) -> Iterator[tuple[str, ...]]:
        """For a table of what is kept: step, model, answers, tokens of prompts, cached, of answers, reasoning, cost."""
        for line in self.lines:
            if line.kept.requests:
                tokens = tokens_of(line.kept)
                yield (
                    one_line(line.step, 64),
                    one_line(line.model, _NAME_BYTES),
                    f"{line.kept.requests:,}",
                    *tokens,
                    (str(Cost.of([(line.model, line.kept, line.price)])) if line.price else "unknown"),
                )


NO_BILL: Final = Bill()


def tokens_of(counts: Counts) -> tuple[str, str, str, str]:
    """Tokens of prompts, cached ones of them, of answers, and reasoning of them; `?` if no answer reported any."""
    if counts.unreported >= counts.requests:
        return "?", "?", "?", "?"
    numbers = (counts.input_tokens, counts.cached_tokens, counts.output_tokens, counts.reasoning_tokens)
    more = "+" if counts.unreported else ""
    first, cached, output, reasoning = (f"{number:,}{more}" for number in numbers)
    return first, cached, output, reasoning


def counts_in_words(counts: Counts) -> str:
    """`1,200 answers, 84,000 tokens in (20,000 cached), 30,000 out`."""
    answers = count(counts.requests, "answer")
    if counts.unreported >= counts.requests:
        return f"{answers}, tokens unknown"
    cached = f" ({counts.cached_tokens:,} cached)" if counts.cached_tokens else ""
    reasoning = f" ({counts.reasoning_tokens:,} reasoning)" if counts.reasoning_tokens else ""
    tokens = f"{counts.input_tokens:,} tokens in{cached}, {counts.output_tokens:,} out{reasoning}"
    unknown = f", and {counts.unreported:,} of unknown length" if counts.unreported else ""
    return f"{answers}, {tokens}{unknown}"
