"""EvolComplexityGenerator: instructions that a model writes from a few words, and makes harder."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from common.steps.tasks.evol_complexity import DEITA
from common.steps.tasks.evol_instruct import WIZARDLM
from common.steps.tasks.evol_instruct_generator import FRESH, EvolInstructGenerator
from common.steps.tasks.mutations import COMPLEXITY, FRESH_START


class EvolComplexityGenerator(EvolInstructGenerator):
    """`EvolInstructGenerator` with the templates alone that make an instruction harder, and none for a rarer one."""

    _version: ClassVar[int] = 2

    citations = (DEITA, WIZARDLM)

    mutation_templates: dict[str, str] = Field(
        default={FRESH: FRESH_START, **COMPLEXITY},
        description="Prompts, by their names; <PROMPT> is where the instruction goes, in FRESH_START the nouns.",
    )
