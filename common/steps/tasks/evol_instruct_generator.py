"""EvolInstructGenerator: instructions that a model writes from a few words, and rewrites until they are long enough."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from common.errors import RowError
from common.parameters.runtime_parameters import RuntimeOption
from common.steps.base import Row, StepColumns
from common.steps.tasks.answer import Answer
from common.steps.tasks.draws import draws_of
from common.steps.tasks.evol_instruct import WIZARDLM
from common.steps.tasks.examples import Example
from common.steps.tasks.generations import rows_of_generations
from common.steps.tasks.mutations import (
    FRESH_START,
    INSTRUCTION,
    INSTRUCTION_TAG,
    PROMPT,
    Mutation,
    check_templates,
)
from common.steps.tasks.nouns import NOUNS
from common.steps.tasks.numbered_generator import NumberedGenerator

FRESH = "FRESH_START"
MOST_TURNS = 20
"""Prompts for one instruction; one that has no fitting length then fails its row."""


class EvolInstructGenerator(NumberedGenerator):
    """Has the model write an instruction about a few nouns, and rewrite it until it has a fitting length.

    Each of `num_rows` rows draws its nouns and templates by `seed` and its number. An instruction that is shorter than
    `min_length` is rewritten; after one that is longer than `max_length`, or where `FRESH_START` is drawn, the row
    begins again with other nouns. A row without a fitting one after 20 prompts fails. With `generate_answers` the model
    also answers it, as `answer`. Replies are read as by `EvolInstruct`.
    """

    _version: ClassVar[int] = 2

    citations: ClassVar[tuple[str, ...]] = (WIZARDLM,)
    worked_examples = (
        Example(
            row={},
            reply="<new_instruction>Explain how a lens makes a star look larger.</new_instruction>",
            made={"instruction": "Explain how a lens makes a star look larger."},
            parameters={"min_length": 10, "max_length": 100},
        ),
        Example(
            row={},
            reply=[
                "<new_instruction>Name a star.</new_instruction>",
                "<new_instruction>Name a red star of Orion.</new_instruction>",
                "Betelgeuse.",
            ],
            made={"instruction": "Name a red star of Orion.", "answer": "Betelgeuse."},
            parameters={"min_length": 15, "max_length": 100, "generate_answers": True},
        ),
    )

    generate_answers: bool = Field(default=False, description="Ask for an answer to each instruction.")
    mutation_templates: dict[str, str] = Field(
        default={FRESH: FRESH_START, **INSTRUCTION},
        description="Prompts, by their names; <PROMPT> is where the instruction goes, in FRESH_START the nouns.",
    )
    min_length: RuntimeOption[int] = Field(default=512, ge=0, description="Of an instruction, in characters.")
    max_length: RuntimeOption[int] = Field(default=1024, ge=1, description="Of an instruction, in characters.")
    seed: RuntimeOption[int] = Field(default=42, description="Of the nouns and templates that are drawn.")

    @model_validator(mode="before")
    @classmethod
    def _from_num_instructions(cls, given: Any) -> Any:
        """distilabel's name of num_rows."""
        if isinstance(given, Mapping) and "num_instructions" in given:
            return {"num_rows" if name == "num_instructions" else name: value for name, value in given.items()}
        return given

    @field_validator("mutation_templates")
    @classmethod
    def _have_their_place(cls, templates: dict[str, str]) -> dict[str, str]:
        check_templates(templates, PROMPT)
        if FRESH not in templates:
            raise ValueError(f"there is no template {FRESH}, with which each instruction begins")
        return templates

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length is {self.min_length}, above max_length, which is {self.max_length}")
        return self

    @property
    def outputs(self) -> StepColumns:
        return ["instruction", *(["answer"] if self.generate_answers else [])]

    def format_input(self, row: Row, /) -> str:
        """The prompt that the row begins with."""
        return self._mutation(draws_of(self.seed, row, 0), "").prompt

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        """The columns of a row whose first instruction fits."""
        read = self._of_length(self._mutation(draws_of(self.seed, row, 0), "").read)
        return {"instruction": read(text or "")}

    async def process_row(self, row: Row) -> Row | list[Row]:
        """The row with its instruction, or one row per generation.

        Raises:
            RowError: the model gave no text that the row can keep.
        """
        return await rows_of_generations(self, row, lambda number: self._generation(row, number))

    async def _generation(self, row: Row, number: int) -> Answer[dict[str, Any]]:
        chance = draws_of(self.seed, row, number)
        instruction = ""
        answers: list[Answer[str]] = []
        for turn in range(1, MOST_TURNS + 1):
            mutation = self._mutation(chance, instruction)
            read = mutation.read if turn < MOST_TURNS else self._of_length(mutation.read)
            answers.append(await self.asker.ask(row, mutation.prompt, read, answers))
            instruction = answers[-1].found
            if self.min_length <= len(instruction) <= self.max_length:
                break
            if len(instruction) > self.max_length:
                instruction = ""
        made = {"instruction": instruction}
        if self.generate_answers:
            answers.append(await self.asker.ask(row, instruction, str, answers))
            made["answer"] = answers[-1].found
        return Answer.of(answers, made)

    def _mutation(self, chance: random.Random, instruction: str) -> Mutation:
        name = chance.choice(list(self.mutation_templates)) if instruction else FRESH
        text = instruction if name != FRESH else ", ".join(chance.sample(NOUNS, chance.randint(1, 4)))
        return Mutation.of(self.mutation_templates[name], INSTRUCTION_TAG, text, {PROMPT: text})

    def _of_length(self, read: Callable[[str], str]) -> Callable[[str], str]:
        def checked(reply: str) -> str:
            words = read(reply)
            if not self.min_length <= len(words) <= self.max_length:
                raise RowError(
                    f"it has {len(words)} characters, not {self.min_length} to {self.max_length}, and {MOST_TURNS} "
                    "prompts made no instruction that has; change min_length and max_length"
                )
            return words

        return checked
