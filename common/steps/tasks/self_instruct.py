"""SelfInstruct: instructions that users of an application could give it, about a text."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from common.cells import words_of
from common.errors import RowError
from common.steps.base import Row
from common.steps.tasks.base import Task
from common.steps.tasks.examples import Example
from common.steps.tasks.reply_forms import schema_with
from common.steps.tasks.reply_parts import items_in, lists_in

CRITERIA = (
    "Each begins with another verb or question word.\n"
    "Each can be answered in words alone, and is one or two sentences long.\n"
    "Each is understood without the text and without the others.\n"
    "Some ask a question, and some say what to do."
)


class SelfInstruct(Task):
    """Asks for `num_instructions` instructions to do with the text in `input`, and adds them as `instructions`, a list.

    They are what users of an application could tell it. The reply is a numbered or bulleted list, or a JSON array. One
    with more or fewer instructions, or with one that is there twice, is asked for again, `parse_retries` times; then
    the row fails.
    """

    _version: ClassVar[int] = 1

    inputs: ClassVar[list[str]] = ["input"]
    outputs: ClassVar[list[str]] = ["instructions"]
    citations = (
        "@inproceedings{wang2023selfinstruct,\n"
        "  title={Self-Instruct: Aligning Language Models with Self-Generated Instructions},\n"
        "  author={Yizhong Wang and Yeganeh Kordi and Swaroop Mishra and Alisa Liu and Noah A. Smith and Daniel "
        "Khashabi and Hannaneh Hajishirzi},\n"
        "  booktitle={Proceedings of ACL},\n"
        "  year={2023},\n"
        "  url={https://arxiv.org/abs/2212.10560}\n"
        "}",
    )
    worked_examples = (
        Example(
            row={"input": "Tides"},
            reply="1. Explain why the sea rises twice a day.\n2. Which coast has the highest tides?",
            made={"instructions": ["Explain why the sea rises twice a day.", "Which coast has the highest tides?"]},
            parameters={"num_instructions": 2, "application_description": "A tutor of geography"},
        ),
        Example(
            row={"input": "Tides"},
            reply='{"instructions": ["Define a spring tide."]}',
            made={"instructions": ["Define a spring tide."]},
            parameters={"num_instructions": 1, "use_default_structured_output": True},
        ),
    )

    num_instructions: int = Field(default=5, ge=1, description="Instructions for each row.")
    criteria_for_query_generation: str = Field(
        default=CRITERIA, description="What each instruction must be, as the model is told it."
    )
    application_description: str = Field(
        default="AI assistant", description="The application that the instructions are for."
    )

    def get_structured_output(self) -> dict[str, Any]:
        return schema_with({"instructions": {"type": "array", "items": {"type": "string"}}})

    def format_input(self, row: Row, /) -> str:
        count = f"{self.num_instructions} instruction{'s' if self.num_instructions > 1 else ''}"
        form = f"a list of {count}, numbered from 1 on, each on one line"
        if self.use_default_structured_output:
            form = f"a JSON object whose key instructions has an array of {count}"
        return (
            f"There is an application: {self.application_description}\n\n"
            f"Write {count} that users could give it, to do with this text:\n{words_of(row, 'input')}\n\n"
            f"How they must be:\n{self.criteria_for_query_generation}\n\n"
            f"Reply with {form}, and with nothing else."
        )

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        found = items_in(text or "")
        if not found:
            lists = lists_in(text or "")
            if len(lists) != 1:
                raise RowError(f"it has {len(lists) or 'no'} lists where one is expected")
            [found] = lists
        if len(found) != self.num_instructions:
            raise RowError(f"it has {len(found)} instructions where {self.num_instructions} are expected")
        if len({each.casefold() for each in found}) < len(found):
            raise RowError("it has an instruction twice")
        return {"instructions": found}
