"""GenerateLongTextMatchingData: a pair of long texts that match."""

from __future__ import annotations

import random
from typing import ClassVar

from common.steps.tasks.embedding_data import EmbeddingData
from common.steps.tasks.examples import Example


class GenerateLongTextMatchingData(EmbeddingData):
    """Sends the matching task in `task`, and adds a pair of long texts: `input` and its `positive_document`.

    A reply that is not one JSON object with both texts is asked for again, `parse_retries` times; then the row fails.
    """

    _version: ClassVar[int] = 1

    keys: ClassVar[dict[str, str]] = {
        "input": "the text to which another one is to be found",
        "positive_document": "a text that matches it",
    }
    worked_examples = (
        Example(
            row={"task": "Match the description of a patent to the summary of another one on the same invention."},
            reply='{"input": "A pump that a bicycle drives lifts water from a well.", '
            '"positive_document": "Water is raised by means of pedals."}',
            made={
                "input": "A pump that a bicycle drives lifts water from a well.",
                "positive_document": "Water is raised by means of pedals.",
            },
        ),
    )

    def what_to_write(self, task: str, chance: random.Random) -> str:
        return (
            f"Here is a task of matching texts:\n{task}\n\n"
            "Make up one example of it. Both texts are long: a hundred words and more each. The second one "
            "is what the task would give back for the first, and says what it says in words of its own."
        )
