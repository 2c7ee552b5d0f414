"""MagpieGenerator: rows of instructions that an aligned model writes itself."""

from __future__ import annotations

from typing import ClassVar

from common.steps.tasks.examples import Example
from common.steps.tasks.magpie import CITATION
from common.steps.tasks.numbered_generator import NumberedGenerator
from common.steps.tasks.pre_query import PreQuery


class MagpieGenerator(PreQuery, NumberedGenerator):
    """Makes `num_rows` rows as `Magpie` does; of several system prompts, each row draws one, by `seed` and its number.

    See `Magpie` for the columns and for what the `llm` must be able to do.
    """

    _version: ClassVar[int] = 2

    citations = (CITATION,)
    worked_examples = (
        Example(
            row={},
            reply=["When do I sow beans?", "In May, once the soil is warm."],
            made={
                "instruction": "When do I sow beans?",
                "response": "In May, once the soil is warm.",
                "system_prompt_key": "garden",
            },
            parameters={
                "magpie_pre_query_template": "qwen2",
                "system_prompt": {"garden": "You help people who grow vegetables."},
            },
        ),
    )
