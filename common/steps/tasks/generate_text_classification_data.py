"""GenerateTextClassificationData: a text to classify, with its label and a wrong one."""

from __future__ import annotations

import random
from typing import Any, ClassVar

from pydantic import Field

from common.errors import RowError
from common.steps.base import Row
from common.steps.tasks.embedding_data import CLARITY, EDUCATION, Clarity, Education, EmbeddingData, drawn
from common.steps.tasks.examples import Example


class GenerateTextClassificationData(EmbeddingData):
    """Sends the classification task in `task`, and adds an `input_text`, its `label` and a `misleading_label`.

    What is not given of `difficulty` and `clarity` is drawn for each row, by `seed` and the row. A reply that is not
    one JSON object with the three texts, or has the same label twice, is asked for again; then the row fails.
    """

    _version: ClassVar[int] = 1

    keys: ClassVar[dict[str, str]] = {
        "input_text": "the text that is to be classified",
        "label": "its right label",
        "misleading_label": "another label of the task, which fits less well and could be mistaken for the right one",
    }
    worked_examples = (
        Example(
            row={"task": "Tell whether a review of a restaurant praises or criticizes it."},
            reply='{"input_text": "We waited an hour, and would do so again.", '
            '"label": "praise", "misleading_label": "criticism"}',
            made={
                "input_text": "We waited an hour, and would do so again.",
                "label": "praise",
                "misleading_label": "criticism",
            },
        ),
    )

    difficulty: Education | None = Field(default=None, description="Education that a reader of the text needs.")
    clarity: Clarity | None = Field(default=None, description="How easily the text is understood.")

    def what_to_write(self, task: str, chance: random.Random) -> str:
        difficulty = drawn(self.difficulty, EDUCATION, chance)
        clarity = drawn(self.clarity, CLARITY, chance)
        return (
            f"Here is a task of text classification:\n{task}\n\n"
            "Make up one example of it. Its text reads as if a person had written it for another purpose, and neither "
            f"of the labels is in it. The text is {clarity}; to follow it takes an education of {difficulty} level."
        )

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        made = super().format_output(text, row)
        if made["label"].lower() == made["misleading_label"].lower():
            raise RowError("its misleading_label is its label")
        return made
