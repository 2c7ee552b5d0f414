"""SentenceTriplets: the common part of generators of three texts, two of which are close and two less so."""

from __future__ import annotations

import random
from abc import abstractmethod
from typing import Any, ClassVar, Literal

from pydantic import Field

from common.steps.base import Row
from common.steps.tasks.draws import draws_of
from common.steps.tasks.embedding_data import CITATION, drawn
from common.steps.tasks.numbered_generator import NumberedGenerator
from common.steps.tasks.reply_forms import json_for, schema_of
from common.steps.tasks.reply_parts import record_in

UNITS = ("sentence", "phrase", "passage")
EDUCATION = ("elementary school", "high school", "college")
HIGH_SCORES = ("4", "4.5", "5")
LOW_SCORES = ("2.5", "3", "3.5")


class SentenceTriplets(NumberedGenerator):
    """The common part of `MonolingualTripletGenerator` and `BitextRetrievalGenerator`."""

    citations: ClassVar[tuple[str, ...]] = (CITATION,)
    outputs: ClassVar[list[str]] = ["S1", "S2", "S3"]

    unit: Literal["sentence", "phrase", "passage"] | None = Field(default=None, description="What each text is.")
    difficulty: Literal["elementary school", "high school", "college"] | None = Field(
        default=None, description="Education that a reader of the texts needs."
    )
    high_score: Literal["4", "4.5", "5"] | None = Field(
        default=None, description="Similarity of S1 and S2, from 1 to 5."
    )
    low_score: Literal["2.5", "3", "3.5"] | None = Field(default=None, description="Similarity of S1 and S3.")
    seed: int = Field(default=42, description="Of what is drawn for a row, with its number.")

    @abstractmethod
    def what_to_write(self, unit: str, high_score: str, low_score: str) -> str:
        """What the three texts are."""

    @abstractmethod
    def texts(self) -> dict[str, str]:
        """Column -> what it holds, as the model is told."""

    def get_structured_output(self) -> dict[str, Any]:
        return schema_of(self.outputs)

    def format_input(self, row: Row, /) -> str:
        chance: random.Random = draws_of(self.seed, row)
        unit = drawn(self.unit, UNITS, chance)
        difficulty = drawn(self.difficulty, EDUCATION, chance)
        what = self.what_to_write(
            unit, drawn(self.high_score, HIGH_SCORES, chance), drawn(self.low_score, LOW_SCORES, chance)
        )
        return (
            f"{what} To follow them takes an education of {difficulty} level. Choose a subject that few would think "
            "of. Similarity is a number from 1, for nothing in common, to 5, for the same meaning; do not write it.\n\n"
            f"{json_for(self.texts())}"
        )

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        return dict(record_in(text or "", list(self.texts())))
