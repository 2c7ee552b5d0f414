"""EmbeddingData: tasks that write data for models of embeddings, after "Improving Text Embeddings with LLMs"."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeVar, get_args

from pydantic import Field

from common.cells import words_of
from common.steps.base import Row, StepColumns
from common.steps.tasks.base import Task
from common.steps.tasks.draws import draws_of
from common.steps.tasks.reply_forms import json_for, schema_of
from common.steps.tasks.reply_parts import record_in

T = TypeVar("T")
CITATION = (
    "@misc{wang2024improving,\n"
    "  title={Improving Text Embeddings with Large Language Models},\n"
    "  author={Liang Wang and Nan Yang and Xiaolong Huang and Linjun Yang and Rangan Majumder and Furu Wei},\n"
    "  year={2024},\n"
    "  eprint={2401.00368},\n"
    "  archivePrefix={arXiv}\n"
    "}"
)
Clarity = Literal["clear", "understandable with some effort", "ambiguous"]
Education = Literal["high school", "college", "PhD"]
CLARITY: tuple[Clarity, ...] = get_args(Clarity)
EDUCATION: tuple[Education, ...] = get_args(Education)


def drawn(given: T | None, among: Sequence[T], chance: random.Random) -> T:
    """The value of a parameter, or one that is drawn where it is None; it draws in any case, for the next ones."""
    other = chance.choice(among)
    return other if given is None else given


class EmbeddingData(Task):
    """The common part of tasks that write an example for the retrieval or matching task in column `task`."""

    keys: ClassVar[dict[str, str]]
    """Columns that the reply gives -> what each holds, as the model is told."""

    inputs: ClassVar[list[str]] = ["task"]
    citations = (CITATION,)

    language: str = Field(default="English", description="Of the texts.")
    seed: int = Field(default=42, description="Of what is drawn for a row; rows that hold the same draw the same.")

    @property
    def outputs(self) -> StepColumns:
        return list(self.keys)

    @abstractmethod
    def what_to_write(self, task: str, chance: random.Random) -> str:
        """The prompt, but for the form of the reply."""

    def get_structured_output(self) -> dict[str, Any]:
        return schema_of(self.keys)

    def format_input(self, row: Row, /) -> str:
        what = self.what_to_write(words_of(row, "task"), draws_of(self.seed, row))
        return f"{what}\n\nAll texts are in {self.language}.\n\n{json_for(self.keys)}"

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        return dict(record_in(text or "", list(self.keys)))
