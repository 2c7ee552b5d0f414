"""The card: its text, and the sources of it."""

from __future__ import annotations

from typing import ClassVar

import pytest

from common.llms.echo import EchoLLM
from common.steps.base import Step, StepInput, StepOutput
from common.steps.tasks.text_generation import TextGeneration
from coordinator.dataset.card import CardConfig, CardFacts, collect_citations, front_matter, size_category, write_card

PAPER = "@misc{paper, title={A paper}}"
MODEL = "@misc{model, title={A model}}"


class Judge(Step):
    citations: ClassVar[tuple[str, ...]] = (PAPER, "\n@misc{other}\n")

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs


class CitedLLM(EchoLLM):
    citations: ClassVar[tuple[str, ...]] = (MODEL, PAPER)


def test_citations_are_those_of_the_steps_and_of_their_models_each_once() -> None:
    steps = [Judge(name="judge"), TextGeneration(name="ask", llm=CitedLLM()), Judge(name="again")]
    assert collect_citations(steps) == (PAPER, "@misc{other}", MODEL)


@pytest.mark.parametrize(
    ("rows", "category"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (99_999, "10K<n<100K"),
        (5_000_000, "1M<n<10M"),
        (10**11, "100B<n<1T"),
        (10**12, "n>1T"),
    ],
)
def test_sizes_are_in_the_words_of_the_hub(rows: int, category: str) -> None:
    assert size_category(rows) == category


def test_facts_are_the_same_when_they_are_read_again() -> None:
    facts = CardFacts("n", "d", "r", "s", "name: n\n", "c", {"penstock": "1"}, {"ask": 2}, (PAPER,))
    assert CardFacts.from_dump({**facts.dump(), "of_a_later_version": 1}, facts.spec) == facts


def test_the_card_has_what_there_is_and_no_empty_sections() -> None:
    import pyarrow as pa

    config = CardConfig("on", pa.schema([("id", pa.int64())]), {"train": 1_500}, {"id": 7}, "on")
    whole = CardFacts(
        "quotes", spec="name: quotes\n", command="make it", failed={"ask": 2}, skipped={"fix": 7}, citations=(PAPER,)
    )
    front = front_matter([config])
    card = write_card(whole, [config], front_matter=front, load_example="load it", artifacts=["artifacts/ask/index"])
    for said in (
        "config_name: 'on'",
        "1K<n<10K",
        "load it",
        "make it",
        "name: quotes",
        PAPER,
        "`artifacts/ask/index`",
        "| `fix` | 7 |",
    ):
        assert said in card
    card = write_card(CardFacts(), [config], front_matter=front, load_example="load it")
    for section in ("How it was made", "Artifacts", "Citations", "failed", "passed"):
        assert section not in card
