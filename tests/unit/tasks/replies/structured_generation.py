"""An answer has the form that the row demands, one or two digits and °C, or is none."""

from __future__ import annotations

from tests.support.tasks.replies import Reply

REPLIES = {
    "numbered": Reply("1. 17°C"),
    "bulleted": Reply("- 17°C"),
    "markdown": Reply("**17°C**"),
    "fenced": Reply("```\n17°C\n```"),
    "json": Reply('{"temperature": "17°C"}'),
    "other_language": Reply("siebzehn Grad"),
    "other_case": Reply("17°c"),
    "refusal": Reply("I cannot know the weather."),
    "prose_before": Reply("It is 17°C"),
    "prose_after": Reply("17°C, I think."),
    "swapped": Reply("°C17"),
    "missing_part": Reply("17"),
    "empty_part": Reply("°C"),
    "extra_part": Reply("117°C"),
    "repeated": Reply("17°C\n17°C"),
    "thinking_first": Reply("<think>It is autumn.</think>17°C"),
    "partial": Reply("1"),
    "hostile": Reply("17°C\x00"),
    "rambling": Reply("Seattle lies by the sea. " * 200),
    "line_ends": Reply("  17°C \r\n", {"generation": "17°C"}),
}
