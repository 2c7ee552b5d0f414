"""MonolingualTripletGenerator: three texts in one language, the first closer to the second than to the third."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from common.steps.tasks.examples import Example
from common.steps.tasks.sentence_triplets import SentenceTriplets


class MonolingualTripletGenerator(SentenceTriplets):
    """Makes rows of three texts in one language: `S1` is closer in meaning to `S2` than to `S3`.

    What is not given of the parameters is drawn for each row, by `seed` and its number. A reply that is not one JSON
    object with the three texts is asked for again, `parse_retries` times.
    """

    _version: ClassVar[int] = 1

    worked_examples = (
        Example(
            row={},
            reply='{"S1": "A heron waits.", "S2": "A heron stands still.", "S3": "A heron flies off."}',
            made={"S1": "A heron waits.", "S2": "A heron stands still.", "S3": "A heron flies off."},
        ),
    )

    language: str = Field(default="English", description="Of the texts.")

    def texts(self) -> dict[str, str]:
        return {"S1": "the first text", "S2": "one close to it", "S3": "one less close to it"}

    def what_to_write(self, unit: str, high_score: str, low_score: str) -> str:
        return (
            f"Write three texts in {self.language}, S1, S2 and S3, each of them a {unit}. The similarity of S1 and S2 "
            f"is {high_score}, that of S1 and S3 is {low_score}. They differ in their words as far as that allows."
        )
