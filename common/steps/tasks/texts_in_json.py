"""TextsInJson: the common part of tasks whose reply is a JSON object of texts, each of which becomes a column."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from common.steps.base import Row, StepColumns
from common.steps.tasks.asking_step import AskingStep
from common.steps.tasks.reply_forms import json_for, schema_of
from common.steps.tasks.reply_parts import record_in


class TextsInJson(AskingStep):
    """The common part of `EmbeddingData` and `SentenceTriplets`."""

    @abstractmethod
    def texts(self) -> Mapping[str, str]:
        """Column -> what it holds, as the model is told."""

    @property
    def outputs(self) -> StepColumns:
        return list(self.texts())

    @property
    def _form(self) -> str:
        """The end of the prompt, which asks for the texts."""
        return json_for(self.texts())

    def get_structured_output(self) -> dict[str, Any]:
        return schema_of(self.texts())

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        return dict(record_in(text or "", list(self.texts())))
