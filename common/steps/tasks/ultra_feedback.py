"""UltraFeedback: a rating and a rationale for each of several texts, under one aspect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import Field

from common.cells import words_of
from common.steps.base import Row, StepColumns
from common.steps.tasks.base import Task
from common.steps.tasks.examples import Example
from common.steps.tasks.numbered_texts import texts_between_tags, texts_of
from common.steps.tasks.reply_forms import schema_with
from common.steps.tasks.reply_parts import words_in
from common.steps.tasks.reply_scores import reviews_in, score_of

Name = Literal["helpfulness", "honesty", "instruction-following", "truthfulness", "overall-rating"]
SYSTEM_PROMPT = (
    "You rate texts that were written for an instruction. You judge each text by itself, as if the others were not "
    "there, and give your reasons before your rating."
)
LOWEST, HIGHEST = 1, 5


@dataclass(frozen=True, slots=True)
class Aspect:
    """What texts are rated by.

    Args:
        question: that the rating answers.
        ratings: what 1 to 5 mean.
        types: what is named beside the rating, and its kinds; empty for none.
    """

    question: str
    ratings: tuple[str, str, str, str, str]
    types: Mapping[int, str] = field(default_factory=dict)
    about_types: str = ""


ASPECTS: Mapping[Name, Aspect] = {
    "helpfulness": Aspect(
        "How helpful is the text: is it right, and does it tell the reader what is needed?",
        (
            "wrong in what matters, however much it says",
            "partly wrong, so that a reader may be misled",
            "right, and does what was asked for",
            "right, and has further useful detail",
            "right and thorough, with insight that goes beyond what was asked for",
        ),
        {
            1: "clear and relevant: it stays with the task, or asks where the task is unclear",
            2: "comprehensive: it gives background, steps of reasoning or detail that is of use",
            3: "concise: it is not long-winded and repeats nothing",
        },
        "which of these strengths the text has most",
    ),
    "honesty": Aspect(
        "How well does the confidence that the text expresses fit how right it is?",
        (
            "wrong and sure of itself",
            "wrong and mostly sure of itself, or right and hardly willing to answer",
            "in part wrong and in part unsure, or right but full of doubts",
            "right with a few needless doubts, or wrong in a detail about which it has doubts",
            "right and sure of itself, or open about exactly what it does not know",
        ),
    ),
    "instruction-following": Aspect(
        "How closely does the text follow the instruction: its goal, and each restriction such as form or length?",
        (
            "does something else",
            "misses the goal, or most of the restrictions",
            "meets the goal or the restrictions in part",
            "meets the goal, with a small departure from a restriction",
            "meets the goal and all restrictions",
        ),
    ),
    "truthfulness": Aspect(
        "How free is the text of what is made up?",
        (
            "made up as a whole, and not to be relied on",
            "made up for about half of it, or in its main points",
            "true on the whole, with a misunderstanding or some points made up",
            "true, but for details that do not touch the main points",
            "nothing made up",
        ),
        {
            1: "against the world: people, places, events or concepts that contradict what is known",
            2: "against the instruction: it adds or changes facts that the instruction or its input gives",
            3: "against itself: it contradicts itself, or its reasoning does not hold",
        },
        "which of these kinds of made-up content weighs most in the text",
    ),
    "overall-rating": Aspect(
        "How good is the text on the whole: right and informative, honest about doubts, free of what is made up, and "
        "in line with the instruction?",
        (
            "bad: wrong or made up in what matters",
            "weak: does a part of what was asked for, with errors",
            "good: right on the whole, with small errors or departures",
            "very good: nearly flawless",
            "excellent: right, sure of itself where it can be, and all that was asked for",
        ),
    ),
}


class UltraFeedback(Task):
    """Has the model rate each of `generations`, texts for `instruction`, from 1 to 5; adds `ratings` and `rationales`.

    `aspect` says by what. With `helpfulness` and `truthfulness` there are also `types`, the number of the strength or
    of the kind of made-up content that weighs most in a text, or None; then `rationales` are those of the types, and
    `rationales-for-ratings` those of the ratings. Each column has one element per generation, in their order. A reply
    that does not rate exactly these texts, or has a rating off the scale, is asked for again, `parse_retries` times;
    then the row fails.
    """

    _version: ClassVar[int] = 1

    inputs: ClassVar[list[str]] = ["instruction", "generations"]
    citations = (
        "@misc{cui2024ultrafeedback,\n"
        "  title={UltraFeedback: Boosting Language Models with Scaled AI Feedback},\n"
        "  author={Ganqu Cui and Lifan Yuan and Ning Ding and Guanming Yao and Bingxiang He and Wei Zhu and Yuan Ni "
        "and Guotong Xie and Ruobing Xie and Yankai Lin and Zhiyuan Liu and Maosong Sun},\n"
        "  year={2024},\n"
        "  eprint={2310.01377},\n"
        "  archivePrefix={arXiv}\n"
        "}",
    )
    worked_examples = (
        Example(
            row={"instruction": "Name a primary colour.", "generations": ["Blue.", "Pink, I think."]},
            reply="<text_1><rationale>Blue is one.</rationale><rating>5</rating></text_1>\n"
            "<text_2><rationale>Pink is a mixture.</rationale><rating>1</rating></text_2>",
            made={"ratings": [5, 1], "rationales": ["Blue is one.", "Pink is a mixture."]},
        ),
        Example(
            row={"instruction": "Name a primary colour.", "generations": ["Pink."]},
            reply='{"texts": [{"text": 1, "type_rationale": "Pink is a mixture.", "type": 1, '
            '"rationale": "It is wrong.", "rating": 1}]}',
            made={
                "types": [1],
                "rationales": ["Pink is a mixture."],
                "ratings": [1],
                "rationales-for-ratings": ["It is wrong."],
            },
            parameters={"aspect": "truthfulness", "use_default_structured_output": True},
        ),
    )

    system_prompt: str | None = Field(
        default=SYSTEM_PROMPT, description="System message at the beginning of each conversation."
    )
    aspect: Name = Field(default="overall-rating", description="What the texts are rated by.")

    @property
    def outputs(self) -> StepColumns:
        if self._aspect.types:
            return ["types", "rationales", "ratings", "rationales-for-ratings"]
        return ["ratings", "rationales"]

    def get_structured_output(self) -> dict[str, Any]:
        kinds = {"text": "integer", **dict.fromkeys(self._parts, "string"), "rating": "integer"}
        properties: dict[str, Any] = {name: {"type": kind} for name, kind in kinds.items()}
        if self._aspect.types:
            properties["type"] = {"type": ["integer", "null"]}
        return schema_with({"texts": {"type": "array", "items": schema_with(properties)}})

    def format_input(self, row: Row, /) -> str:
        aspect, texts = self._aspect, texts_of(row, "generations")
        parts = [f"Rate each text below, which was written for the instruction. {aspect.question}"]
        parts.append(_listed("Ratings:", dict(enumerate(aspect.ratings, LOWEST))))
        if aspect.types:
            parts.append(_listed(f"Say also {aspect.about_types}:", aspect.types))
        parts.append(f"Instruction:\n{words_of(row, 'instruction')}")
        parts.append(texts_between_tags(texts))
        return "\n\n".join([*parts, self._form(len(texts))])

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        reviews = reviews_in(text or "", len(texts_of(row, "generations")), list(self._parts))
        ratings = [score_of(review["rating"], LOWEST, HIGHEST) for review in reviews]
        rationales = [words_in(review["rationale"], "a rationale") for review in reviews]
        if not self._aspect.types:
            return {"ratings": ratings, "rationales": rationales}
        return {
            "types": [self._type(review["type"]) for review in reviews],
            "rationales": [words_in(review["type_rationale"], "the rationale of a type") for review in reviews],
            "ratings": ratings,
            "rationales-for-ratings": rationales,
        }

    @property
    def _aspect(self) -> Aspect:
        return ASPECTS[self.aspect]

    @property
    def _parts(self) -> dict[str, str]:
        """Of what the reply says of a text; what each holds, as the model is told."""
        rating = {"rationale": "why, in a few sentences", "rating": f"a whole number from {LOWEST} to {HIGHEST}"}
        if not self._aspect.types:
            return rating
        types = {
            "type_rationale": f"{self._aspect.about_types}, and why",
            "type": "its number, or None if none applies",
        }
        return {**types, **rating}

    def _form(self, count: int) -> str:
        if self.use_default_structured_output:
            keys = "\n".join(f'- "{name}": {what}' for name, what in {"text": "its number", **self._parts}.items())
            return (
                'Reply with one JSON object and nothing else: {"texts": [...]}. Its array has an object for each text, '
                f"{count} in all, with the keys\n{keys.replace('None', 'null')}"
            )
        inside = "".join(f"<{name}>{what}</{name}>\n" for name, what in self._parts.items())
        return (
            f"Reply in this form, with nothing before or after it:\n<text_1>\n{inside}</text_1>\n"
            f"{'and so on, one after the other, up to text_' + str(count) if count > 1 else ''}"
        ).rstrip()

    def _type(self, said: Any) -> int | None:
        none = said is None or (isinstance(said, str) and said.strip(" .*").lower() in ("none", "null"))
        return None if none else score_of(said, min(self._aspect.types), max(self._aspect.types))


def _listed(title: str, meanings: Mapping[int, str]) -> str:
    return "\n".join([title, *(f"{number}: {meaning}" for number, meaning in meanings.items())])
