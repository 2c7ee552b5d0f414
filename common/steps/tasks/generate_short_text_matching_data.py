"""GenerateShortTextMatchingData: a pair of short texts that match."""

from __future__ import annotations

import random
from typing import ClassVar

from common.steps.tasks.embedding_data import EmbeddingData
from common.steps.tasks.examples import Example


class GenerateShortTextMatchingData(EmbeddingData):
    """Sends the matching task in `task`, and adds a pair of short texts: `input` and its `positive_document`.

    A reply that is not one JSON object with both texts is asked for again, `parse_retries` times; then the row fails.
    """

    _version: ClassVar[int] = 1

    keys: ClassVar[dict[str, str]] = {
        "input": "the text to which another one is to be found",
        "positive_document": "a text that matches it",
    }
    worked_examples = (
        Example(
            row={"task": "Match a dish to the cuisine that it comes from."},
            reply='{"input": "pho", "positive_document": "Vietnamese cuisine"}',
            made={"input": "pho", "positive_document": "Vietnamese cuisine"},
        ),
    )

    def what_to_write(self, task: str, chance: random.Random) -> str:
        return (
            f"Here is a task of matching texts:\n{task}\n\n"
            "Make up one example of it. Both texts are short: a few words, a sentence at most. The second one is "
            "what the task would give back for the first, and has few words in common with it."
        )
