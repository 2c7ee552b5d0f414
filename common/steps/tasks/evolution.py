"""Evolution: the common part of tasks that rewrite a text of a row several times, one after the other."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from pydantic import Field, field_validator

from common.cells import words_of
from common.parameters.runtime_parameters import RuntimeOption
from common.steps.base import Row, StepColumns
from common.steps.tasks.answer import Answer
from common.steps.tasks.base import Task
from common.steps.tasks.draws import draws_of
from common.steps.tasks.generations import rows_of_generations
from common.steps.tasks.mutations import Mutation, check_templates, drawn_template


class Evolution(Task):
    """The common part of `EvolInstruct` and `EvolQuality`."""

    evolves: ClassVar[str]
    """The column with the text."""
    tag: ClassVar[str]
    """Between which templates ask for the new text."""
    places: ClassVar[tuple[str, ...]]
    """What each template has."""

    num_evolutions: int = Field(ge=1, description="How often it is rewritten.")
    store_evolutions: bool = Field(default=False, description="Keep the texts of all times, as a list.")
    mutation_templates: dict[str, str] = Field(description="Prompts, by their names.")
    seed: RuntimeOption[int] = Field(default=42, description="Of the templates that are drawn.")

    @field_validator("mutation_templates")
    @classmethod
    def _have_their_places(cls, templates: dict[str, str]) -> dict[str, str]:
        check_templates(templates, *cls.places)
        return templates

    @property
    @abstractmethod
    def _keeps_original(self) -> bool:
        """Whether a list begins with the row's own text."""

    @abstractmethod
    def _placed(self, row: Row, text: str) -> dict[str, str]:
        """Place in a template -> what stands there, where a text is to be rewritten."""

    @property
    def _column(self) -> str:
        return f"evolved_{self.evolves}{'s' if self.store_evolutions else ''}"

    @property
    def outputs(self) -> StepColumns:
        return [self._column]

    def format_input(self, row: Row, /) -> str:
        """The prompt by which it is rewritten first."""
        return self._mutation(row, words_of(row, self.evolves), 0, 0).prompt

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        """The columns of a row that is rewritten once."""
        original = words_of(row, self.evolves)
        return self._made([original, self._mutation(row, original, 0, 0).read(text or "")])

    async def process_row(self, row: Row) -> Row | list[Row]:
        """The row with its evolutions, or one row per generation.

        Raises:
            PromptError: the row lacks a text that the prompt needs.
            RowError: the model gave no text that the row can keep.
        """
        self.asker.messages(row)  # a row that cannot be asked is told from an answer that cannot be kept
        return await rows_of_generations(self, row, lambda number: self._generation(row, number))

    async def _generation(self, row: Row, number: int) -> Answer[dict[str, Any]]:
        texts, answers = await self._evolved(row, number)
        return Answer.of(answers, self._made(texts))

    async def _evolved(self, row: Row, number: int) -> tuple[list[str], list[Answer[str]]]:
        """(the row's text and those of all times, the answers that they come from)."""
        texts = [words_of(row, self.evolves)]
        answers: list[Answer[str]] = []
        for turn in range(self.num_evolutions):
            mutation = self._mutation(row, texts[-1], number, turn)
            answers.append(await self.asker.ask(row, mutation.prompt, mutation.read, answers))
            texts.append(answers[-1].found)
        return texts, answers

    def _mutation(self, row: Row, text: str, number: int, turn: int) -> Mutation:
        template = drawn_template(self.mutation_templates, draws_of(self.seed, row, number, turn))
        return Mutation.of(template, self.tag, text, self._placed(row, text))

    def _kept(self, texts: list[str]) -> list[str]:
        """Those of the row's text and of all times that the row keeps."""
        if not self.store_evolutions:
            return texts[-1:]
        return texts if self._keeps_original else texts[1:]

    def _made(self, texts: list[str]) -> dict[str, Any]:
        kept = self._kept(texts)
        return {self._column: kept if self.store_evolutions else kept[-1]}
