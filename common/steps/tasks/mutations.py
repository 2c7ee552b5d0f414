"""Mutations: prompts by which a model rewrites an instruction or a response, and how their replies are read. Pure."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

from common.errors import RowError
from common.steps.tasks.reply_parts import has_tag, tagged, without_thoughts

PROMPT, RESPONSE = "<PROMPT>", "<RESPONSE>"
INSTRUCTION_TAG, RESPONSE_TAG = "new_instruction", "new_response"
_LABEL = "Prompt#:"
"""The end of WizardLM's label, which templates that are written for distilabel ask for."""
_PLACES = re.compile(f"{PROMPT}|{RESPONSE}")

_REWRITE = f"""Rewrite the instruction below, so that it becomes somewhat harder, also for a capable model, and yet \
can be understood and answered by people. {{how}} Keep what belongs to it, such as a table or code. Add no more than \
20 words, and do not answer it.

Instruction:
{PROMPT}

Reply with the rewritten instruction between tags, and with nothing else:
<{INSTRUCTION_TAG}>...</{INSTRUCTION_TAG}>"""
_IMPROVE = f"""Below are an instruction and a response to it. Rewrite the response: {{how}} Keep what is right in it, \
and add no more than 20 words.

Instruction:
{PROMPT}

Response:
{RESPONSE}

Reply with the rewritten response between tags, and with nothing else:
<{RESPONSE_TAG}>...</{RESPONSE_TAG}>"""
_WRITE = f"""Write one instruction or question for an assistant. {{how}} People must be able to understand and answer \
it. Do not answer it.

{{label}}:
{PROMPT}

Reply with the instruction between tags, and with nothing else:
<{INSTRUCTION_TAG}>...</{INSTRUCTION_TAG}>"""

COMPLEXITY: Mapping[str, str] = {
    "CONSTRAINTS": _REWRITE.format(how="Do so by a further condition or requirement that an answer must meet."),
    "DEEPENING": _REWRITE.format(how="Do so by asking further into what it asks about: for more depth or breadth."),
    "CONCRETIZING": _REWRITE.format(how="Do so by naming a more specific case where it speaks in general."),
    "INCREASED_REASONING_STEPS": _REWRITE.format(
        how="If a few steps of thought suffice to answer it, ask in a way that takes several, one after the other."
    ),
}
"""In-depth evolution of an instruction; see WizardLM."""
INSTRUCTION: Mapping[str, str] = {
    **COMPLEXITY,
    "BREADTH": _WRITE.format(
        how="It belongs to the same field as the one below and is about as long and as hard, but is rarer.",
        label="Instruction",
    ),
}
"""In-depth and in-breadth evolution."""
FRESH_START = _WRITE.format(how="It has to do with all of the words below.", label="Words")
QUALITY: Mapping[str, str] = {
    "HELPFULNESS": _IMPROVE.format(how="make it more helpful to whoever has asked."),
    "RELEVANCE": _IMPROVE.format(how="make it more relevant: closer to what the instruction asks for."),
    "DEEPENING": _IMPROVE.format(how="make it go deeper into what the instruction asks about."),
    "CREATIVITY": _IMPROVE.format(how="make it more creative."),
    "DETAILS": _IMPROVE.format(how="make it more detailed."),
}
"""Evolution of a response; see DEITA."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One prompt of a mutation.

    Args:
        prompt: as it is sent.
        tag: that the reply has its words in; empty if the template asks for none.
        before: the text that is to be rewritten.
    """

    prompt: str
    tag: str
    before: str

    @classmethod
    def of(cls, template: str, tag: str, before: str, texts: Mapping[str, str]) -> Mutation:
        """Fills in a template.

        Args:
            texts: `<PROMPT>` and `<RESPONSE>` -> what stands there.
        """
        prompt = _PLACES.sub(lambda place: texts.get(place[0], place[0]), template)
        return cls(prompt, tag if has_tag(template, tag) else "", before)

    def read(self, reply: str) -> str:
        """The rewritten text.

        Raises:
            RowError: it is not there once, has no words, or is the text that was to be rewritten.
        """
        words = tagged(reply, self.tag) if self.tag else without_thoughts(reply).rpartition(_LABEL)[2].strip()
        if not words:
            raise RowError("it has no words")
        if words == self.before.strip():
            raise RowError("it repeats the text that it was to rewrite")
        return words


def drawn_template(templates: Mapping[str, str], chance: random.Random) -> str:
    """One of the templates."""
    return chance.choice(list(templates.values()))


def check_templates(templates: Mapping[str, str], *places: str) -> None:
    """Raises ValueError: there are none, or one lacks a place for what is to be rewritten."""
    if not templates:
        raise ValueError("give at least one template")
    for name, template in templates.items():
        for place in places:
            if place not in template:
                raise ValueError(f"template '{name}' has no {place}, where the text goes")
