"""ComplexityScorer: how complex each of several instructions is."""

from __future__ import annotations

from typing import ClassVar

from common.steps.base import Row
from common.steps.tasks.examples import Example
from common.steps.tasks.scorer import LOWEST, Scorer


class ComplexityScorer(Scorer):
    """Has the model score the complexity of each of `instructions`; adds `scores`, one for each.

    Of n instructions the easiest is to get 1 and the hardest n; n + 1 is for one that is too complex for the model to
    answer. Scores are floats. A reply that does not score exactly these instructions is asked for again,
    `parse_retries` times; then the row fails.
    """

    _version: ClassVar[int] = 1

    inputs: ClassVar[list[str]] = ["instructions"]
    texts: ClassVar[str] = "instructions"
    worked_examples = (
        Example(
            row={"instructions": ["Name a star.", "Derive the mass of a star from its orbit."]},
            reply="[1] Score: 1\n[2] Score: 2",
            made={"scores": [1.0, 2.0]},
        ),
        Example(
            row={"instructions": ["Name a star.", "Derive the mass of a star from its orbit."]},
            reply='{"scores": [1, 3]}',
            made={"scores": [1.0, 3.0]},
            parameters={"use_default_structured_output": True},
        ),
    )

    def what_to_score(self, row: Row, count: int) -> str:
        return (
            "Score each of the instructions below by how difficult and complex it is, beside the others; do not answer "
            f"them. Scores are whole numbers. The easiest gets {LOWEST} and the hardest {count}, unless it is too "
            f"complex for you to answer: that gets {count + 1}. Instructions that are equally hard share a score.\n\n"
            "Instructions:"
        )
