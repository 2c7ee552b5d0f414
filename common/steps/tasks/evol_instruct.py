"""EvolInstruct: instructions that a model rewrites, step by step, into harder or rarer ones."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from common.steps.base import Row, StepColumns
from common.steps.tasks.answer import Answer
from common.steps.tasks.evolution import Evolution
from common.steps.tasks.examples import Example
from common.steps.tasks.generations import all_of
from common.steps.tasks.mutations import INSTRUCTION, INSTRUCTION_TAG, PROMPT

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


class EvolInstruct(Evolution):
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

    evolves: ClassVar[str] = "instruction"
    tag: ClassVar[str] = INSTRUCTION_TAG
    places: ClassVar[tuple[str, ...]] = (PROMPT,)

    generate_answers: bool = Field(default=False, description="Ask for an answer to each instruction that is kept.")
    include_original_instruction: bool = Field(
        default=False, description="With store_evolutions: begin the list with the row's instruction."
    )
    mutation_templates: dict[str, str] = Field(
        default=dict(INSTRUCTION), description="Prompts, by their names; <PROMPT> is where the instruction goes."
    )

    @property
    def outputs(self) -> StepColumns:
        return [self._column, *([self._answers] if self.generate_answers else [])]

    @property
    def _answers(self) -> str:
        return "answers" if self.store_evolutions else "answer"

    @property
    def _keeps_original(self) -> bool:
        return self.include_original_instruction

    def _placed(self, row: Row, text: str) -> dict[str, str]:
        return {PROMPT: text}

    async def _generation(self, row: Row, number: int) -> Answer[dict[str, Any]]:
        instructions, asked = await self._evolved(row, number)
        made = self._made(instructions)
        if not self.generate_answers:
            return Answer.of(asked, made)
        answered = await all_of(self.asker.ask(row, each, str, asked) for each in self._kept(instructions))
        answers = [each.found for each in answered]
        made[self._answers] = answers if self.store_evolutions else answers[-1]
        return Answer.of([*asked, *answered], made)
