"""Scorer: tasks that score several texts beside each other, after "What Makes Good Data for Alignment?"."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from common.steps.base import Row
from common.steps.tasks.base import Task
from common.steps.tasks.evol_complexity import DEITA
from common.steps.tasks.numbered_texts import texts_after_numbers, texts_of
from common.steps.tasks.reply_forms import schema_with
from common.steps.tasks.reply_scores import numbered_scores

LOWEST = 1


class Scorer(Task):
    """The common part of `QualityScorer` and `ComplexityScorer`.

    The scale grows with the number of texts n: from 1 to n, and n + 1 for a text that is beyond it.
    """

    texts: ClassVar[str]
    """The column of the texts that are scored."""

    outputs: ClassVar[list[str]] = ["scores"]
    citations: ClassVar[tuple[str, ...]] = (DEITA,)

    @abstractmethod
    def what_to_score(self, row: Row, count: int) -> str:
        """The prompt, but for the texts and the form of the reply."""

    def get_structured_output(self) -> dict[str, Any]:
        return schema_with({"scores": {"type": "array", "items": {"type": "integer"}}})

    def format_input(self, row: Row, /) -> str:
        texts = texts_of(row, self.texts)
        parts = [self.what_to_score(row, len(texts)), texts_after_numbers(texts), self._form(len(texts))]
        return "\n\n".join(parts)

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        count = len(texts_of(row, self.texts))
        return {"scores": [float(score) for score in numbered_scores(text or "", count, LOWEST, count + 1)]}

    def _form(self, count: int) -> str:
        if self.use_default_structured_output:
            return (
                "Reply with one JSON object and nothing else. Its one key:\n"
                f'- "scores": an array of the {count} scores, each a number, in the order of the numbers above'
            )
        lines = [f"[{number}] Score: ..." for number in range(1, count + 1)]
        return "\n".join(["Reply with these lines and nothing else, each with its score:", *lines])
