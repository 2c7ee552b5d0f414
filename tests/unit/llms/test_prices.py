"""A price that is unknown is unknown, never zero."""

from __future__ import annotations

import pytest

from common.llms.price_table import TABLE, Price
from common.llms.prices import Cost, Prices, money
from common.protocol.usage import Counts


@pytest.mark.parametrize(
    ("model", "priced_as"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("openai/gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-3-7-sonnet-latest", "claude-3-7-sonnet"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("x-ai/grok-4.5", "grok-4.5"),
    ],
)
def test_a_dated_name_and_one_with_its_vendor_have_the_price_of_the_model(model: str, priced_as: str) -> None:
    assert Prices().of(model) == TABLE[priced_as]


@pytest.mark.parametrize(
    "model", ["gpt-4o-audio-preview", "gpt-4-32k", "my-gpt-4o", "azure/gpt-4o", "openai/gpt-oss-120b", "m", ""]
)
def test_a_name_that_only_begins_alike_has_no_price(model: str) -> None:
    assert Prices().of(model) is None


def test_the_prices_of_the_pipeline_come_first_and_follow_the_same_rule() -> None:
    own = Prices({"gpt-4o": Price(1, 2), "gpt-4o-2024-08-06": Price(3, 4), "m": Price(0, 0)})
    assert own.of("gpt-4o-2024-11-20") == Price(1, 2)
    assert own.of("gpt-4o-2024-08-06") == Price(3, 4)
    assert own.of("m") == Price(0, 0)
    assert own.of("o3") == TABLE["o3"]


def test_cached_tokens_cost_their_own_price_and_reasoning_is_part_of_the_answer() -> None:
    counts = Counts(1, 0, 1_000_000, 400_000, 100_000, 90_000)
    assert Price(10, 20, 1).of(counts) == pytest.approx(6 + 0.4 + 2)
    assert Price(10, 20).of(counts) == pytest.approx(10 + 2)


def test_a_cost_with_an_unknown_part_says_what_is_missing() -> None:
    one = Counts(1, 0, 1_000_000, 0, 0)
    assert str(Cost.of([("m", one, Price(2, 2))])) == "$2.00"
    assert str(Cost.of([("m", one, Price(2, 2)), ("local", one, None)])) == "at least $2.00; no price for local"
    assert str(Cost.of([("local", one, None)])) == "cost unknown; no price for local"
    silent = Cost.of([("m", Counts(1, 1), Price(2, 2))])
    assert str(silent) == "cost unknown; some answers of m came without their tokens"
    assert str(Cost.of([("m", one + Counts(1, 1), Price(2, 2))])).startswith("at least $2.00; some answers of m")


def test_a_free_model_costs_nothing_however_many_tokens_there_were() -> None:
    assert str(Cost.of([("echo", Counts(5, 5), Prices().of("echo"))])) == "$0"
    assert str(Cost.of([])) == "$0"


@pytest.mark.parametrize(
    ("dollars", "said"),
    [(0, "$0"), (0.0042, "$0.0042"), (0.5, "$0.50"), (0.999, "$1.00"), (12.345, "$12.35"), (1234.5, "$1,234.50")],
)
def test_money_has_two_digits_that_matter(dollars: float, said: str) -> None:
    assert money(dollars) == said
