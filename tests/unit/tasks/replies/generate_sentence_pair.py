"""Replies with a positive and a negative; a part counts if it is there once, between its tags or in a JSON object."""

from __future__ import annotations

from tests.support.tasks.replies import Reply

BOTH = {"positive": "why are there tides", "negative": "why is the sky blue"}
TAGGED = "<positive>why are there tides</positive>\n<negative>why is the sky blue</negative>"
REPLIES = {
    "numbered": Reply("1. <positive>why are there tides</positive>\n2. <negative>why is the sky blue</negative>", BOTH),
    "bulleted": Reply("- <positive>why are there tides</positive>\n- <negative>why is the sky blue</negative>", BOTH),
    "markdown": Reply("## Positive\nwhy are there tides\n## Negative\nwhy is the sky blue"),
    "fenced": Reply(f"```xml\n{TAGGED}\n```", BOTH),
    "json": Reply('{"positive": "why are there tides", "negative": "why is the sky blue"}', BOTH),
    "other_language": Reply("<positiv>warum gibt es Gezeiten</positiv>\n<negativ>warum ist der Himmel blau</negativ>"),
    "other_case": Reply(TAGGED.replace("positive", "POSITIVE").replace("negative", "Negative"), BOTH),
    "refusal": Reply("I'm sorry, but I can't help with that."),
    "prose_before": Reply(f"Here is what you asked for:\n\n{TAGGED}", BOTH),
    "prose_after": Reply(f"{TAGGED}\n\nLet me know if you need more.", BOTH),
    "swapped": Reply("<negative>why is the sky blue</negative>\n<positive>why are there tides</positive>", BOTH),
    "missing_part": Reply("<positive>why are there tides</positive>"),
    "empty_part": Reply("<positive>why are there tides</positive>\n<negative> </negative>"),
    "extra_part": Reply(f"<anchor>A tide</anchor>\n{TAGGED}", BOTH),
    "repeated": Reply(f"{TAGGED}\n<positive>what makes tides</positive>"),
    "thinking_first": Reply(f"<think>maybe <positive>tides</positive>?</think>\n{TAGGED}", BOTH),
    "partial": Reply("<positive>why are there tides</positive>\n<negative>why is"),
    "hostile": Reply("<positive><positive></positive></negative>\u0000" + '{"positive": ' * 3000),
    "rambling": Reply("The moon, you know, and the sea. " * 200),
    "line_ends": Reply(TAGGED.replace("\n", "  \r\n").replace("<negative>", "<negative>\r\n"), BOTH),
}
