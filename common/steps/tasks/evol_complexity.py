"""EvolComplexity: instructions that a model makes harder, step by step."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from common.steps.tasks.evol_instruct import WIZARDLM, EvolInstruct
from common.steps.tasks.mutations import COMPLEXITY

DEITA = (
    "@misc{liu2023what,\n"
    "  title={What Makes Good Data for Alignment? A Comprehensive Study of Automatic Data Selection in Instruction "
    "Tuning},\n"
    "  author={Wei Liu and Weihao Zeng and Keqing He and Yong Jiang and Junxian He},\n"
    "  year={2023},\n"
    "  eprint={2312.15685},\n"
    "  archivePrefix={arXiv}\n"
    "}"
)


class EvolComplexity(EvolInstruct):
    """`EvolInstruct` with the templates alone that make an instruction harder, and none for a rarer one.

    DEITA ranks instructions that were evolved like this by their complexity.
    """

    _version: ClassVar[int] = 2

    citations = (DEITA, WIZARDLM)

    mutation_templates: dict[str, str] = Field(
        default=dict(COMPLEXITY), description="Prompts, by their names; <PROMPT> is where the instruction goes."
    )
