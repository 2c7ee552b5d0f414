"""Replies with one label of two, in a JSON object or alone."""

from __future__ import annotations

from tests.support.tasks.replies import Reply

MADE = {"labels": "criticism"}
JSON = '{"labels": "criticism"}'
REPLIES = {
    "numbered": Reply(f"1. {JSON}", MADE),
    "bulleted": Reply("- criticism"),
    "markdown": Reply("**criticism**", MADE),
    "fenced": Reply(f"```json\n{JSON}\n```", MADE),
    "json": Reply("criticism", MADE),
    "other_language": Reply('{"Etikett": "Kritik"}'),
    "other_case": Reply('{"Labels": "CRITICISM"}', MADE),
    "refusal": Reply("I'm sorry, but I can't help with that."),
    "prose_before": Reply(f"The guest {{and nobody else}} complains:\n{JSON}", MADE),
    "prose_after": Reply(f"{JSON}\nSince the soup was cold.", MADE),
    "swapped": Reply('{"criticism": "labels"}'),
    "missing_part": Reply("{}"),
    "empty_part": Reply('{"labels": " "}'),
    "extra_part": Reply('{"labels": ["criticism", "praise"]}'),
    "repeated": Reply(f'{JSON}\n{{"labels": "praise"}}'),
    "thinking_first": Reply(f'<think>{{"labels": "praise"}}? No.</think>{JSON}', MADE),
    "partial": Reply('{"labels": "critic'),
    "hostile": Reply('{"labels": {"labels": ' * 3000 + '{"labels": "criticism\\ud800"}'),
    "rambling": Reply("It is a criticism, you know, and then again a praise. " * 200),
    "line_ends": Reply('{  \r\n"labels": "  criticism \\r\\n"\t\r\n}\r\n', MADE),
}
