"""PreQuery: the common part of tasks in which a model writes the turns of the user too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from common.cells import words_of
from common.errors import RowError, UsageError
from common.llms.base import ChatMessage
from common.parameters.runtime_parameters import RuntimeOption
from common.steps.base import Row, StepColumns
from common.steps.tasks.answer import Answer
from common.steps.tasks.asker import Ways
from common.steps.tasks.asking_step import AskingStep
from common.steps.tasks.conversation import SYSTEM_PROMPT
from common.steps.tasks.draws import draws_of
from common.steps.tasks.generations import rows_of_generations
from common.steps.tasks.raw_chats import RAW_CHATS, RawChat, family_of

SEVERAL_TURNS = (
    "You are an assistant who helps a person through a conversation of several turns. In each of them the person "
    "follows up on what was said before: asks for more, doubts it, changes the task or goes a step further. You answer "
    "each turn fully and to the point."
)
"""The system prompt of conversations of several turns that have no other, so that the user's turns hang together."""
KEY = "system_prompt_key"


class PreQuery(AskingStep):
    """The common part of `Magpie` and `MagpieGenerator`."""

    system_prompt: str | list[str] | dict[str, str] | dict[str, tuple[str, float]] | None = Field(  # type: ignore[assignment]
        default=None,
        description="System message of the conversations; of a list or mapping, one is drawn for each row. A mapping "
        "may give each with its probability.",
    )
    magpie_pre_query_template: str = Field(
        description=f"Family of the model, which says how its turns are written: {', '.join(RAW_CHATS)}; or how one of "
        "the user begins with it."
    )
    n_turns: RuntimeOption[int] = Field(default=1, ge=1, description="Turns of the user, each with its answer.")
    end_with_user: RuntimeOption[bool] = Field(default=False, description="Leave the last turn without an answer.")
    include_system_prompt: RuntimeOption[bool] = Field(
        default=False, description="Keep the system message in the conversation."
    )
    only_instruction: RuntimeOption[bool] = Field(
        default=False, description="Ask for one turn of the user, and nothing else."
    )
    seed: int = Field(default=42, description="Of the system prompts that are drawn.")

    @model_validator(mode="before")
    @classmethod
    def _from_the_llm(cls, given: Any) -> Any:
        """distilabel has the template at the llm."""
        llm = given.get("llm") if isinstance(given, Mapping) else None
        if not isinstance(llm, Mapping):
            return given
        there = {name: llm[name] for name in ("magpie_pre_query_template",) if name in llm}
        ours = ("magpie_pre_query_template", "use_magpie_template")
        return {**there, **given, "llm": {name: value for name, value in llm.items() if name not in ours}}

    @field_validator("magpie_pre_query_template")
    @classmethod
    def _is_known(cls, template: str) -> str:
        return family_of(template)

    @field_validator("system_prompt")
    @classmethod
    def _can_be_drawn(cls, given: Any) -> Any:
        if isinstance(given, list | dict) and not given:
            raise ValueError("it is empty; leave it out for none")
        if isinstance(given, dict) and isinstance(next(iter(given.values())), tuple):
            weights = [weight for _, weight in given.values()]
            if min(weights) < 0 or not math.isclose(sum(weights), 1, abs_tol=1e-6):
                raise ValueError(f"its probabilities must be 0 or more and sum to 1, not to {sum(weights):g}")
        return given

    @model_validator(mode="after")
    def _can_continue(self) -> Self:
        if fault := self._fault():
            raise ValueError(fault)
        return self

    def _fault(self) -> str:
        if not self.llm.continues_text:
            return (
                f"llm: {type(self.llm).__name__} as it is set sends conversations, and a model writes the turn of a "
                "user only where it continues a text; use one that serves OpenAI's completions API, such as vLLM or "
                "llama.cpp: {type: OpenAILLM, api: completions, base_url: ..., model: ...}"
            )
        if self.system_prompt is not None and not self._chat.has_system:
            return f"system_prompt: models of the family {self.magpie_pre_query_template} have no system messages"
        return ""

    @property
    def _chat(self) -> RawChat:
        return RAW_CHATS[self.magpie_pre_query_template]

    @property
    def _is_conversation(self) -> bool:
        return not self.only_instruction and (self.n_turns > 1 or self.end_with_user or self.include_system_prompt)

    @property
    def _columns(self) -> list[str]:
        if self._is_conversation:
            names = ["conversation"]
        else:
            names = ["instruction"] if self.only_instruction else ["instruction", "response"]
        return [*names, KEY] if isinstance(self.system_prompt, dict) else names

    @property
    def outputs(self) -> StepColumns:
        return self._columns

    def load(self) -> None:
        """Raises UsageError: the llm cannot continue a text, as its parameters are now."""
        if fault := self._fault():
            raise UsageError(fault)
        super().load()

    def _ways(self) -> Ways:
        # The system message is a part of the text, which is sent as one message of the user.
        return replace(super()._ways(), system_prompt=None, use_row_system_prompt=False)

    def format_input(self, row: Row, /) -> str:
        """The text that the first turn of the user continues."""
        return self._chat.until(self._beginning(row, 0)[0], "user")

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        """The turn that the text begins with."""
        return {"instruction": self._chat.said(text or "")}

    async def process_row(self, row: Row) -> Row | list[Row]:
        """The row with its conversation, or one row per generation.

        Raises:
            PromptError: no text can be made from the row.
            RowError: the model gave no turn that the row can keep.
        """
        self.asker.messages(row)  # a row that cannot be asked is told from an answer that cannot be kept
        return await rows_of_generations(self, row, lambda number: self._generation(row, number))

    async def _generation(self, row: Row, number: int) -> Answer[dict[str, Any]]:
        turns, key = self._beginning(row, number)
        pair: list[Literal["user", "assistant"]] = ["user", "assistant"]
        roles = pair * (1 if self.only_instruction else self.n_turns)
        answers: list[Answer[str]] = []
        for role in roles[:-1] if self.only_instruction or self.end_with_user else roles:
            answers.append(await self.asker.ask(row, self._chat.until(turns, role), self._chat.said, answers))
            turns = [*turns, {"role": role, "content": answers[-1].found}]
        said = turns if self.include_system_prompt else [turn for turn in turns if turn["role"] != "system"]
        texts = [turn["content"] for turn in turns if turn["role"] != "system"]
        made: dict[str, Any] = {"conversation": said}
        if not self._is_conversation:
            made = dict(zip(self._columns, texts, strict=False))
        if isinstance(self.system_prompt, dict):
            made[KEY] = key
        return Answer.of(answers, made)

    def _beginning(self, row: Row, number: int) -> tuple[list[ChatMessage], str | None]:
        """(the system message if there is one, the key under which the step has it)."""
        key, prompt = None, None
        if row.get(SYSTEM_PROMPT) is not None:
            prompt = words_of(row, SYSTEM_PROMPT)
        elif self.system_prompt is not None:
            key, prompt = self.drawn_prompt(row, number)
        elif self.n_turns > 1 and not self.only_instruction and self._chat.has_system:
            prompt = SEVERAL_TURNS
        if prompt is not None and not self._chat.has_system:
            raise RowError(f"models of the family {self.magpie_pre_query_template} have no system messages")
        return ([] if prompt is None else [{"role": "system", "content": prompt}]), key

    def drawn_prompt(self, row: Row, number: int) -> tuple[str | None, str | None]:
        """(its key, a system prompt of the step), drawn by what the row holds and by the number of the generation."""
        given, chance = self.system_prompt, draws_of(self.seed, row, number)
        if given is None or isinstance(given, str):
            return None, given
        if isinstance(given, list):
            return None, chance.choice(given)
        keys = list(given)
        weights = [each[1] if isinstance(each, tuple) else 1.0 for each in given.values()]
        key = chance.choices(keys, weights)[0]
        chosen = given[key]
        return key, chosen[0] if isinstance(chosen, tuple) else chosen
