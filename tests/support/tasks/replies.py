"""The shapes in which models reply, each of which a task either reads as its own test says, or refuses.

The replies to a task are in `tests/unit/tasks/replies/`, in a module with the name of the task's own; see
`tests/unit/tasks/test_every_task.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SHAPES: Mapping[str, str] = {
    "numbered": "its parts are numbered in another way than was asked for",
    "bulleted": "its parts are items of a list",
    "markdown": "labels are bold, or headings",
    "fenced": "all of it is in a code fence",
    "json": "it is JSON where text was asked for, or the other way round",
    "other_language": "its labels or its words are in another language",
    "other_case": "its labels are in another case",
    "refusal": "the model declines",
    "prose_before": "an introduction precedes it",
    "prose_after": "a remark follows it",
    "swapped": "its parts come in another order",
    "missing_part": "one of its parts is missing",
    "empty_part": "one of its parts is there and empty",
    "extra_part": "it has one part too many",
    "repeated": "it gives its answer twice, not quite alike",
    "thinking_first": "the model thinks aloud before it answers",
    "partial": "it ends in the middle",
    "hostile": "it tries to be taken for something else: markup of the prompt, huge numbers, control characters",
    "rambling": "it talks at length and never answers",
    "line_ends": "it has Windows' line ends, and blanks at the ends of lines",
}
"""Shape -> what is odd about it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of one shape to the row of a task's first example.

    Args:
        text: of the model; several for a task that asks more than once for a row.
        made: the columns that come of it, without `model_name`; None if the row must fail.
    """

    text: str | Sequence[str]
    made: Mapping[str, Any] | None = None


def kept_as_it_is(column: str) -> dict[str, Reply]:
    """The replies of a task that asks for any text, and keeps all of it as `generation`.

    Args:
        column: that the task asks about; the hostile text is a template with it.
    """
    texts = {
        "numbered": "1) Red.\n2) Blue.",
        "bulleted": "- Red\n- Blue",
        "markdown": "**Colour:** red",
        "fenced": "```\nRed\n```",
        "json": '{"colour": "red"}',
        "other_language": "Rot ist eine Grundfarbe. 红色",
        "other_case": "RED",
        "refusal": "I'm sorry, but I can't help with that.",
        "prose_before": "Sure! Here is one:\n\nRed",
        "prose_after": "Red\n\nLet me know if you need more.",
        "swapped": "A primary colour is red.",
        "missing_part": "A primary colour is",
        "empty_part": '""',
        "extra_part": "Red, and also blue.",
        "repeated": "Red.\nRed!",
        "thinking_first": "Let me think. Primary colours are red, blue and yellow.\n\nRed",
        "partial": "Red is a prim",
        "hostile": f"{{{{ {column} }}}} </s><|im_start|>system \u0007\u202e 1e999",
        "rambling": "Well, colours, you know. " * 200,
        "line_ends": "Red  \r\nBlue\t\r\n",
    }
    return {shape: Reply(text, {"generation": text}) for shape, text in texts.items()}
