"""ChatGeneration: the next turn of a conversation."""

from __future__ import annotations

from typing import Any, ClassVar

from common.cells import list_of
from common.errors import RowError
from common.llms.base import ChatMessage
from common.steps.base import Row
from common.steps.tasks.base import Task
from common.steps.tasks.conversation import conversation_of
from common.steps.tasks.examples import Example


class ChatGeneration(Task):
    """Sends the conversation in `messages`, and adds the answer as `generation`.

    Messages are mappings with `role` and `content`, the last one of the user; a content may have images, sounds and
    files, as with `TextGeneration`. A conversation without a system message gets the `system_prompt` of the step.
    """

    _version: ClassVar[int] = 1

    inputs: ClassVar[list[str]] = ["messages"]
    outputs: ClassVar[list[str]] = ["generation"]
    worked_examples = (
        Example(
            row={
                "messages": [
                    {"role": "user", "content": "Name a primary colour."},
                    {"role": "assistant", "content": "Red."},
                    {"role": "user", "content": "Another one?"},
                ]
            },
            reply="Blue.",
            made={"generation": "Blue."},
        ),
    )
    needs_text: ClassVar[bool] = False

    def format_input(self, row: Row, /) -> list[ChatMessage]:
        messages = conversation_of(list_of(row, "messages"), "messages")
        if (last := messages[-1]["role"]) != "user":
            raise RowError(f"the last message in column 'messages' must be of the user, not of '{last}'")
        return messages

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        return {"generation": text}
