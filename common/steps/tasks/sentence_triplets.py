"""SentenceTriplets: the common part of generators of three texts, two of which are close and two less so."""

from __future__ import annotations

import random
from abc import abstractmethod
from typing import ClassVar, Literal

from pydantic import Field

from common.steps.base import Row
from common.steps.tasks.draws import draws_of
from common.steps.tasks.embedding_data import CITATION, drawn
from common.steps.tasks.numbered_generator import NumberedGenerator
from common.steps.tasks.texts_in_json import TextsInJson

UNITS = ("sentence", "phrase", "passage")
EDUCATION = ("elementary school", "high school", "college")
HIGH_SCORES = ("4", "4.5", "5")
LOW_SCORES = ("2.5", "3", "3.5")


class SentenceTriplets(TextsInJson, NumberedGenerator):
    """The common part of `MonolingualTripletGenerator` and `BitextRetrievalGenerator`."""

    citations: ClassVar[tuple[str, ...]] = (CITATION,)

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
            f"{self._form}"
        )
