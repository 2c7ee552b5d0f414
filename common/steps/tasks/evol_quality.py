"""EvolQuality: responses that a model improves, step by step."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, field_validator

from common.cells import words_of
from common.parameters.runtime_parameters import RuntimeOption
from common.steps.base import Row, StepColumns
from common.steps.tasks.asker import Answer
from common.steps.tasks.base import Task
from common.steps.tasks.draws import draws_of
from common.steps.tasks.evol_complexity import DEITA
from common.steps.tasks.examples import Example
from common.steps.tasks.generations import rows_of_generations
from common.steps.tasks.mutations import (
    PROMPT,
    QUALITY,
    RESPONSE,
    RESPONSE_TAG,
    Mutation,
    check_templates,
    drawn_template,
)


class EvolQuality(Task):
    """Has the model improve `response` to `instruction`, `num_evolutions` times in a row; adds `evolved_response`.

    With `store_evolutions` the column is `evolved_responses`, a list of all of them; `include_original_response` puts
    the row's own first. Templates are drawn, and replies read, as by `EvolInstruct`, with tags `<new_response>`.
    """

    _version: ClassVar[int] = 2

    inputs: ClassVar[list[str]] = ["instruction", "response"]
    citations = (DEITA,)
    worked_examples = (
        Example(
            row={"instruction": "Name a star.", "response": "Vega."},
            reply="<new_response>Vega, in the constellation Lyra.</new_response>",
            made={"evolved_response": "Vega, in the constellation Lyra."},
            parameters={"num_evolutions": 1},
        ),
        Example(
            row={"instruction": "Name a star.", "response": "Vega."},
            reply=["<new_response>Vega, in Lyra.</new_response>", "<new_response>Blue Vega, in Lyra.</new_response>"],
            made={"evolved_responses": ["Vega.", "Vega, in Lyra.", "Blue Vega, in Lyra."]},
            parameters={"num_evolutions": 2, "store_evolutions": True, "include_original_response": True},
        ),
    )

    num_evolutions: int = Field(ge=1, description="How often it is rewritten.")
    store_evolutions: bool = Field(default=False, description="Keep the responses of all times, as a list.")
    include_original_response: bool = Field(
        default=False, description="With store_evolutions: begin the list with the row's response."
    )
    mutation_templates: dict[str, str] = Field(
        default=dict(QUALITY),
        description="Prompts, by their names; <PROMPT> and <RESPONSE> are where instruction and response go.",
    )
    seed: RuntimeOption[int] = Field(default=42, description="Of the templates that are drawn.")

    @field_validator("mutation_templates")
    @classmethod
    def _have_their_places(cls, templates: dict[str, str]) -> dict[str, str]:
        check_templates(templates, PROMPT, RESPONSE)
        return templates

    @property
    def outputs(self) -> StepColumns:
        return ["evolved_responses" if self.store_evolutions else "evolved_response"]

    def format_input(self, row: Row, /) -> str:
        """The prompt by which it is rewritten first."""
        return self._mutation(row, words_of(row, "response"), 0, 0).prompt

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        """The columns of a row that is rewritten once."""
        response = words_of(row, "response")
        return self._made([response, self._mutation(row, response, 0, 0).read(text or "")])

    async def process_row(self, row: Row) -> Row | list[Row]:
        """The row with its evolutions, or one row per generation.

        Raises:
            PromptError: the row has no instruction or no response.
            RowError: the model gave no text that the row can keep.
        """
        self.asker.messages(row)  # a row that cannot be asked is told from an answer that cannot be kept
        return await rows_of_generations(self, row, lambda number: self._generation(row, number))

    async def _generation(self, row: Row, number: int) -> Answer[dict[str, Any]]:
        responses = [words_of(row, "response")]
        answers: list[Answer[str]] = []
        for turn in range(self.num_evolutions):
            mutation = self._mutation(row, responses[-1], number, turn)
            answers.append(await self.asker.ask(row, mutation.prompt, mutation.read, answers))
            responses.append(answers[-1].found)
        return Answer.of(answers, self._made(responses))

    def _mutation(self, row: Row, response: str, number: int, turn: int) -> Mutation:
        template = drawn_template(self.mutation_templates, draws_of(self.seed, row, number, turn))
        texts = {PROMPT: words_of(row, "instruction"), RESPONSE: response}
        return Mutation.of(template, RESPONSE_TAG, response, texts)

    def _made(self, responses: list[str]) -> dict[str, Any]:
        if not self.store_evolutions:
            return {"evolved_response": responses[-1]}
        return {"evolved_responses": responses if self.include_original_response else responses[1:]}
