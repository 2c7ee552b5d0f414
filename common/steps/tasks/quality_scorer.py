"""QualityScorer: how good each of several responses is."""

from __future__ import annotations

from typing import ClassVar

from common.cells import words_of
from common.steps.base import Row
from common.steps.tasks.examples import Example
from common.steps.tasks.scorer import LOWEST, Scorer


class QualityScorer(Scorer):
    """Has the model score the quality of each of `responses` to `instruction`; adds `scores`, one for each.

    Of n responses the worst is to get 1 and the best n; n + 1 is for one that cannot be improved. Scores are floats. A
    reply that does not score exactly these responses is asked for again, `parse_retries` times; then the row fails.
    """

    _version: ClassVar[int] = 1

    inputs: ClassVar[list[str]] = ["instruction", "responses"]
    texts: ClassVar[str] = "responses"
    worked_examples = (
        Example(
            row={"instruction": "Why is the sky blue?", "responses": ["It is far.", "Air scatters blue light most."]},
            reply="[1] Score: 1\n[2] Score: 2",
            made={"scores": [1.0, 2.0]},
        ),
        Example(
            row={"instruction": "Why is the sky blue?", "responses": ["It is far.", "Air scatters blue light most."]},
            reply='{"scores": [1, 2]}',
            made={"scores": [1.0, 2.0]},
            parameters={"use_default_structured_output": True},
        ),
    )

    def what_to_score(self, row: Row, count: int) -> str:
        return (
            "Score each of the responses below to the instruction by its quality, beside the others: how helpful, "
            "relevant, right, deep, creative and detailed it is. Scores are whole numbers. The worst response gets "
            f"{LOWEST} and the best {count}, unless it is so well written that nothing could be improved: that gets "
            f"{count + 1}. Responses of equal quality share a score.\n\n"
            f"Instruction:\n{words_of(row, 'instruction')}\n\n"
            "Responses:"
        )
