"""EmbeddingData: tasks that write data for models of embeddings, after "Improving Text Embeddings with LLMs"."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, TypeVar, get_args

from pydantic import Field

from common.cells import words_of
from common.steps.base import Row
from common.steps.tasks.base import Task
from common.steps.tasks.draws import draws_of
from common.steps.tasks.texts_in_json import TextsInJson

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


class EmbeddingData(TextsInJson, Task):
    """The common part of tasks that write an example for the retrieval or matching task in column `task`."""

    keys: ClassVar[dict[str, str]]
    """Columns that the reply gives -> what each holds, as the model is told."""

    inputs: ClassVar[list[str]] = ["task"]
    citations = (CITATION,)

    language: str = Field(default="English", description="Of the texts.")
    seed: int = Field(default=42, description="Of what is drawn for a row; rows that hold the same draw the same.")

    def texts(self) -> Mapping[str, str]:
        return self.keys

    @abstractmethod
    def what_to_write(self, task: str, chance: random.Random) -> str:
        """The prompt, but for the form of the reply."""

    def format_input(self, row: Row, /) -> str:
        what = self.what_to_write(words_of(row, "task"), draws_of(self.seed, row))
        return f"{what}\n\nAll texts are in {self.language}.\n\n{self._form}"
