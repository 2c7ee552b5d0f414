"""InstructionBacktranslation: how good an example a text is of an assistant's answer to an instruction."""

from __future__ import annotations

from typing import Any, ClassVar

from common.cells import words_of
from common.steps.base import Row
from common.steps.tasks.base import Task
from common.steps.tasks.examples import Example
from common.steps.tasks.reply_forms import schema_with, tags_for
from common.steps.tasks.reply_parts import values_of, words_in
from common.steps.tasks.reply_scores import score_of

_MEANINGS = (
    "It does not do what was asked: it is vague, breaks off, goes on about something else, or is wrong.",
    "It does most of what was asked, but not in a direct way, such as one example where a method was wanted.",
    "It does what was asked, but is not written for whoever asked: it reads like a page, a post or a speech of "
    "somebody else, or it talks of its author or of other comments.",
    "It is an assistant's answer to whoever asked: complete, clear and to the point. Small things could be better, "
    "such as its order or its length.",
    "It is an assistant's answer that could hardly be better: right, well made, full of knowledge, and without a word "
    "that does not belong.",
)
_LOWEST, _HIGHEST = 1, len(_MEANINGS)
_PARTS = {"reason": "why, in a few sentences", "score": f"a whole number from {_LOWEST} to {_HIGHEST}"}


class InstructionBacktranslation(Task):
    """Rates how good an example of an assistant `generation` is as an answer to `instruction`: `score`, and `reason`.

    The score is from 1 to 5. Pairs with 5 are what is kept where instructions were made up for texts that exist. The
    reply has its parts between tags, or is a JSON object. One without a part, with two of a kind, or with a score off
    the scale is asked for again, `parse_retries` times; then the row fails.
    """

    _version: ClassVar[int] = 1

    inputs: ClassVar[list[str]] = ["instruction", "generation"]
    outputs: ClassVar[list[str]] = ["score", "reason"]
    citations = (
        "@misc{li2023backtranslation,\n"
        "  title={Self-Alignment with Instruction Backtranslation},\n"
        "  author={Xian Li and Ping Yu and Chunting Zhou and Timo Schick and Omer Levy and Luke Zettlemoyer and Jason "
        "Weston and Mike Lewis},\n"
        "  year={2023},\n"
        "  eprint={2308.06259},\n"
        "  archivePrefix={arXiv}\n"
        "}",
    )
    worked_examples = (
        Example(
            row={"instruction": "How do I keep bread fresh?", "generation": "As I wrote last week, I love bread."},
            reply="<reason>It is a post of somebody and does not say how.</reason>\n<score>1</score>",
            made={"score": 1, "reason": "It is a post of somebody and does not say how."},
        ),
        Example(
            row={"instruction": "How do I keep bread fresh?", "generation": "In a box, cut side down."},
            reply='{"reason": "It is right, but brief.", "score": 4}',
            made={"score": 4, "reason": "It is right, but brief."},
            parameters={"use_default_structured_output": True},
        ),
    )

    def get_structured_output(self) -> dict[str, Any]:
        scores = list(range(_LOWEST, _HIGHEST + 1))
        return schema_with({"reason": {"type": "string"}, "score": {"type": "integer", "enum": scores}})

    def format_input(self, row: Row, /) -> str:
        meanings = "\n".join(f"{score}: {meaning}" for score, meaning in enumerate(_MEANINGS, _LOWEST))
        form = tags_for(_PARTS)
        if self.use_default_structured_output:
            form = f"Reply with one JSON object and nothing else. Its keys are reason, {_PARTS['reason']}, and score."
        return (
            "Below are an instruction and a text that is meant to answer it. How good an example is the text of the "
            f"answer that an AI assistant should give?\n\n{meanings}\n\n"
            f"Instruction:\n{words_of(row, 'instruction')}\n\n"
            f"Text:\n{words_of(row, 'generation')}\n\n"
            f"{form}"
        )

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        found = values_of(text or "", list(_PARTS))
        return {
            "score": score_of(found["score"], _LOWEST, _HIGHEST),
            "reason": words_in(found["reason"], "the reason"),
        }
