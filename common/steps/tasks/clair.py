"""CLAIR: solutions that a model revises as little as possible, for pairs that differ only in what makes one better."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from common.cells import words_of
from common.errors import RowError
from common.steps.base import Row
from common.steps.tasks.base import Task
from common.steps.tasks.examples import Example
from common.steps.tasks.reply_forms import schema_of, tags_for
from common.steps.tasks.reply_parts import parts_in

SYSTEM_PROMPT = (
    "You are a teacher. You make the work of your students better with few and small changes, and you can say why each "
    "of them is needed."
)
_TEXTS = {
    "rational": "what you change in the solution, and why",
    "revision": "the whole solution with these changes",
}


class CLAIR(Task):
    """Has the model revise `student_solution` to `task` as little as possible; adds `revision` and `rational`.

    The two solutions make a pair of preferences in which the revision is the better one. The reply has its parts
    between tags, or is a JSON object. One without a part, with two of a kind, or with a revision that changes nothing,
    is asked for again, `parse_retries` times; then the row fails.
    """

    _version: ClassVar[int] = 1

    inputs: ClassVar[list[str]] = ["task", "student_solution"]
    outputs: ClassVar[list[str]] = ["revision", "rational"]
    citations = (
        "@misc{doosterlinck2024anchored,\n"
        "  title={Anchored Preference Optimization and Contrastive Revisions: Addressing Underspecification in "
        "Alignment},\n"
        "  author={Karel D'Oosterlinck and Winnie Xu and Chris Develder and Thomas Demeester and Amanpreet Singh and "
        "Christopher Potts and Douwe Kiela and Shikib Mehri},\n"
        "  year={2024},\n"
        "  eprint={2408.06266},\n"
        "  archivePrefix={arXiv}\n"
        "}",
    )
    worked_examples = (
        Example(
            row={"task": "Why is the sea salty?", "student_solution": "Rivers wash salt out of rocks. Rain is salty."},
            reply="<rational>Rain has no salt in it: what evaporates leaves its salt behind.</rational>\n"
            "<revision>Rivers wash salt out of rocks. Rain is fresh, so the salt stays in the sea.</revision>",
            made={
                "revision": "Rivers wash salt out of rocks. Rain is fresh, so the salt stays in the sea.",
                "rational": "Rain has no salt in it: what evaporates leaves its salt behind.",
            },
        ),
    )

    system_prompt: str | None = Field(
        default=SYSTEM_PROMPT, description="System message at the beginning of each conversation."
    )

    def get_structured_output(self) -> dict[str, Any]:
        return schema_of(_TEXTS)

    def format_input(self, row: Row, /) -> str:
        return (
            "A student has written a solution to a task. Think about what is wrong, unclear or dull in it. Then revise "
            "it so that it is right, clear and worth reading. Leave every word that needs no change as it is, and "
            "write in its language. The revision stands for itself: a reader of it does not notice that there was an "
            "earlier solution.\n\n"
            f"Task:\n{words_of(row, 'task')}\n\n"
            f"Solution:\n{words_of(row, 'student_solution')}\n\n"
            f"{tags_for(_TEXTS, as_json=self.use_default_structured_output)}"
        )

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        found = parts_in(text or "", list(_TEXTS))
        if found["revision"] == words_of(row, "student_solution").strip():
            raise RowError("its revision is the student_solution as it was")
        return {"revision": found["revision"], "rational": found["rational"]}
