"""EvolQuality: responses that a model improves, step by step."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from common.cells import words_of
from common.steps.base import Row
from common.steps.tasks.evol_complexity import DEITA
from common.steps.tasks.evolution import Evolution
from common.steps.tasks.examples import Example
from common.steps.tasks.mutations import PROMPT, QUALITY, RESPONSE, RESPONSE_TAG


class EvolQuality(Evolution):
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

    evolves: ClassVar[str] = "response"
    tag: ClassVar[str] = RESPONSE_TAG
    places: ClassVar[tuple[str, ...]] = (PROMPT, RESPONSE)

    include_original_response: bool = Field(
        default=False, description="With store_evolutions: begin the list with the row's response."
    )
    mutation_templates: dict[str, str] = Field(
        default=dict(QUALITY),
        description="Prompts, by their names; <PROMPT> and <RESPONSE> are where instruction and response go.",
    )

    @property
    def _keeps_original(self) -> bool:
        return self.include_original_response

    def _placed(self, row: Row, text: str) -> dict[str, str]:
        return {PROMPT: words_of(row, "instruction"), RESPONSE: text}
