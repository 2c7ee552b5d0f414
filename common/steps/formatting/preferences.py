"""Pairs of a better and a worse answer, as direct preference optimization (DPO) takes them."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

from common.cells import blank, kind_of, list_of, words_of
from common.errors import RowError
from common.steps.base import Row, Step, StepInput, StepOutput
from common.steps.formatting.conversations import Message, first_of_user, messages_of, opening, prompt_columns
from common.steps.mappings import output_names, source_names


class _FormatDPO(Step):
    """The common part of both formats; they differ in the source of the conversation."""

    final_errors = (RowError,)

    @property
    def outputs(self) -> dict[str, bool]:
        sides = [f"{side}{what}" for side in ("chosen", "rejected") for what in ("", "_model", "_rating")]
        return {name: not name.endswith("_model") for name in ["prompt", "prompt_id", *sides]}

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        if available is None:
            return None
        knows_models = source_names(self, ["generation_models"]) <= available
        return available | output_names(self, [name for name, always in self.outputs.items() if always or knows_models])

    def process(self, inputs: StepInput) -> StepOutput:
        yield [self._format(row) for row in inputs]

    @abstractmethod
    def _conversation(self, row: Row) -> tuple[str, list[Message]]:
        """The prompt, and the messages that the generations answer."""

    def _format(self, row: Row) -> Row:
        prompt, messages = self._conversation(row)
        generations = list_of(row, "generations")
        ratings = _for_each(row, "ratings", generations)
        models = None if row.get("generation_models") is None else _for_each(row, "generation_models", generations)
        formatted = {**row, **prompt_columns(prompt)}
        for side, index in zip(("chosen", "rejected"), _best_and_worst(generations, ratings), strict=True):
            formatted[side] = [*messages, {"role": "assistant", "content": generations[index]}]
            if "generation_models" in row:
                formatted[f"{side}_model"] = models[index] if models else None
            formatted[f"{side}_rating"] = ratings[index]
        return formatted


class FormatTextGenerationDPO(_FormatDPO):
    """Makes a preference pair from `generations`: `chosen` has the highest of `ratings`, `rejected` the lowest.

    Both are conversations: a non-empty `system_prompt`, `instruction`, the generation. `chosen_rating` and
    `rejected_rating` are beside them, and with the column `generation_models` also `chosen_model` and
    `rejected_model`. `prompt` is the instruction, `prompt_id` its SHA-256.

    Among equal ratings the first generation counts, but the two sides are never the same generation. A generation that
    is None, or whose rating is None, is skipped. A row fails if fewer than two generations are left, if it does not
    have one rating per generation, or if a generation has no words.
    """

    _version: ClassVar[int] = 1

    @property
    def inputs(self) -> dict[str, bool]:
        needed = dict.fromkeys(("instruction", "generations", "ratings"), True)
        return {**needed, "generation_models": False, "system_prompt": False}

    def _conversation(self, row: Row) -> tuple[str, list[Message]]:
        return words_of(row, "instruction"), opening(row)


class FormatChatGenerationDPO(_FormatDPO):
    """Makes a preference pair from `generations`, the answers to the conversation in `messages`.

    `chosen` is the conversation with the generation that has the highest of `ratings`, `rejected` with that of the
    lowest; `prompt` is the first user message. Everything else is as in `FormatTextGenerationDPO`.
    """

    _version: ClassVar[int] = 1

    @property
    def inputs(self) -> dict[str, bool]:
        needed = dict.fromkeys(("messages", "generations", "ratings"), True)
        return {**needed, "generation_models": False}

    def _conversation(self, row: Row) -> tuple[str, list[Message]]:
        messages = messages_of(row)
        return first_of_user(messages), messages


def _for_each(row: Row, column: str, generations: list[Any]) -> list[Any]:
    values = list_of(row, column)
    if len(values) != len(generations):
        raise RowError(
            f"column '{column}' has {len(values)} elements for {len(generations)} generations; give one for each, "
            "None where there is none"
        )
    return values


def _best_and_worst(generations: list[Any], ratings: list[Any]) -> tuple[int, int]:
    for column, values, kinds in (("ratings", ratings, int | float), ("generations", generations, str)):
        for index, value in enumerate(values):
            if value is not None and not isinstance(value, kinds):
                raise RowError(f"{column}[{index}] holds {kind_of(value)}")
            if isinstance(value, str) and not value.strip():
                raise RowError(f"{column}[{index}] holds {blank(value)} where words are expected")
    rated = [
        index
        for index, rating in enumerate(ratings)
        if rating is not None and not math.isnan(rating) and generations[index] is not None
    ]
    if len(rated) < 2:
        raise RowError(f"a pair needs two generations with a rating, but the row has {len(rated)}")
    best = max(rated, key=lambda index: ratings[index])  # the first of equals
    return best, min((index for index in rated if index != best), key=lambda index: ratings[index])
