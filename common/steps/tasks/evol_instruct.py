"""EvolInstruct: instructions that a model rewrites, step by step, into harder or rarer ones."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, field_validator

from common.cells import words_of
from common.parameters.runtime_parameters import RuntimeOption
from common.steps.base import Row, StepColumns
from common.steps.tasks.asker import Answer
from common.steps.tasks.base import Task
from common.steps.tasks.draws import draws_of
from common.steps.tasks.examples import Example
from common.steps.tasks.generations import all_of, rows_of_generations
from common.steps.tasks.mutations import INSTRUCTION, INSTRUCTION_TAG, PROMPT, Mutation, check_templates, drawn_template

WIZARDLM = (
    "@misc{xu2023wizardlm,\n"
    "  title={WizardLM: Empowering Large Language Models to Follow Complex Instructions},\n"
    "  author={Can Xu and Qingfeng Sun and Kai Zheng and Xiubo Geng and Pu Zhao and Jiazhan Feng and Chongyang Tao "
    "and Daxin Jiang},\n"
    "  year={2023},\n"
    "  eprint={2304.12244},\n"
    "  archivePrefix={arXiv}\n"
    "}"
)


class EvolInstruct(Task):
    """Has the model rewrite `instruction`, `num_evolutions` times in a row, and adds `evolved_instruction`.

    For each time a template is drawn, by `seed` and what the row holds, so alike in any worker and order. With
    `store_evolutions` the column is `evolved_instructions`, a list of all of them; `include_original_instruction` puts
    the row's own first. With `generate_answers` the model also answers them, as `answer` or `answers`.

    A template asks for the text between tags `<new_instruction>`; from one of yours that does not, what follows its
    last `Prompt#:` counts, else the whole reply. A reply without words, with two such texts, or with the text that was
    to be rewritten, is asked for again, `parse_retries` times; then the row fails.
    """

    _version: ClassVar[int] = 2

    inputs: ClassVar[list[str]] = ["instruction"]
    citations: ClassVar[tuple[str, ...]] = (WIZARDLM,)
    worked_examples = (
        Example(
            row={"instruction": "Name a star."},
            reply="<new_instruction>Name a star that sailors steer by.</new_instruction>",
            made={"evolved_instruction": "Name a star that sailors steer by."},
            parameters={"num_evolutions": 1},
        ),
        Example(
            row={"instruction": "Name a star."},
            reply=[
                "<new_instruction>Name a red star.</new_instruction>",
                "<new_instruction>Name a red star of Orion.</new_instruction>",
                "Vega.",
                "Antares.",
                "Betelgeuse.",
            ],
            made={
                "evolved_instructions": ["Name a star.", "Name a red star.", "Name a red star of Orion."],
                "answers": ["Vega.", "Antares.", "Betelgeuse."],
            },
            parameters={
                "num_evolutions": 2,
                "store_evolutions": True,
                "include_original_instruction": True,
                "generate_answers": True,
            },
        ),
    )

    num_evolutions: int = Field(ge=1, description="How often it is rewritten.")
    store_evolutions: bool = Field(default=False, description="Keep the instructions of all times, as a list.")
    generate_answers: bool = Field(default=False, description="Ask for an answer to each instruction that is kept.")
    include_original_instruction: bool = Field(
        default=False, description="With store_evolutions: begin the list with the row's instruction."
    )
    mutation_templates: dict[str, str] = Field(
        default=dict(INSTRUCTION), description="Prompts, by their names; <PROMPT> is where the instruction goes."
    )
    seed: RuntimeOption[int] = Field(default=42, description="Of the templates that are drawn.")

    @field_validator("mutation_templates")
    @classmethod
    def _have_their_place(cls, templates: dict[str, str]) -> dict[str, str]:
        check_templates(templates, PROMPT)
        return templates

    @property
    def outputs(self) -> StepColumns:
        if self.store_evolutions:
            return ["evolved_instructions", *(["answers"] if self.generate_answers else [])]
        return ["evolved_instruction", *(["answer"] if self.generate_answers else [])]

    def format_input(self, row: Row, /) -> str:
        """The prompt by which it is rewritten first."""
        return self._mutation(row, words_of(row, "instruction"), 0, 0).prompt

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        """The columns of a row that is rewritten once and not answered."""
        evolved = self._mutation(row, words_of(row, "instruction"), 0, 0).read(text or "")
        return self._made([words_of(row, "instruction"), evolved], [])

    async def process_row(self, row: Row) -> Row | list[Row]:
        """The row with its evolutions, or one row per generation.

        Raises:
            PromptError: the row has no instruction.
            RowError: the model gave no text that the row can keep.
        """
        self.asker.messages(row)  # a row that cannot be asked is told from an answer that cannot be kept
        return await rows_of_generations(self, row, lambda number: self._generation(row, number))

    async def _generation(self, row: Row, number: int) -> Answer[dict[str, Any]]:
        instructions = [words_of(row, "instruction")]
        asked: list[Answer[str]] = []
        for turn in range(self.num_evolutions):
            mutation = self._mutation(row, instructions[-1], number, turn)
            asked.append(await self.asker.ask(row, mutation.prompt, mutation.read, asked))
            instructions.append(asked[-1].found)
        answered: list[Answer[str]] = []
        if self.generate_answers:
            kept = self._kept(instructions)
            answered = await all_of(self.asker.ask(row, each, str, asked) for each in kept)
        made = self._made(instructions, [each.found for each in answered])
        return Answer.of([*asked, *answered], made)

    def _mutation(self, row: Row, instruction: str, number: int, turn: int) -> Mutation:
        template = drawn_template(self.mutation_templates, draws_of(self.seed, row, number, turn))
        return Mutation.of(template, INSTRUCTION_TAG, instruction, {PROMPT: instruction})

    def _kept(self, instructions: list[str]) -> list[str]:
        if not self.store_evolutions:
            return instructions[-1:]
        return instructions if self.include_original_instruction else instructions[1:]

    def _made(self, instructions: list[str], answers: list[str]) -> dict[str, Any]:
        kept = self._kept(instructions)
        if self.store_evolutions:
            return {"evolved_instructions": kept, **({"answers": answers} if answers else {})}
        return {"evolved_instruction": kept[-1], **({"answer": answers[-1]} if answers else {})}
