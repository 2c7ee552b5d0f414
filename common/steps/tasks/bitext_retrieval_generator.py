"""BitextRetrievalGenerator: a text, its translation, and a text that could be mistaken for that."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from common.steps.tasks.examples import Example
from common.steps.tasks.sentence_triplets import SentenceTriplets


class BitextRetrievalGenerator(SentenceTriplets):
    """Makes rows of a text `S1`, its translation `S2`, and `S3`, a text in the language of `S2` that is less close.

    What is not given of the parameters is drawn for each row, by `seed` and its number. A reply that is not one JSON
    object with the three texts is asked for again, `parse_retries` times.
    """

    _version: ClassVar[int] = 1

    worked_examples = (
        Example(
            row={},
            reply='{"S1": "A heron waits.", "S2": "Ein Reiher wartet.", "S3": "Ein Reiher fliegt."}',
            made={"S1": "A heron waits.", "S2": "Ein Reiher wartet.", "S3": "Ein Reiher fliegt."},
            parameters={"target_language": "German"},
        ),
    )

    source_language: str = Field(default="English", description="Of S1.")
    target_language: str = Field(description="Of S2 and S3.")

    def texts(self) -> dict[str, str]:
        return {
            "S1": f"a text in {self.source_language}",
            "S2": f"its translation into {self.target_language}",
            "S3": f"a text in {self.target_language} that could be mistaken for the translation",
        }

    def what_to_write(self, unit: str, high_score: str, low_score: str) -> str:
        return (
            f"Write three texts, S1 in {self.source_language}, S2 and S3 in {self.target_language}, each of them a "
            f"{unit}. The similarity of S1 and S2 is {high_score}, that of S1 and S3 is {low_score}."
        )
