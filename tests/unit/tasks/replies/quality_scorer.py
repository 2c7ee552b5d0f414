"""Replies with a score for each of two texts, in numbered lines or a JSON array."""

from __future__ import annotations

from tests.support.tasks.replies import Reply

BOTH = {"scores": [1.0, 2.0]}
WHOLE = "[1] Score: 1\n[2] Score: 2"
REPLIES = {
    "numbered": Reply("1. Score: 1\n2. Score: 2", BOTH),
    "bulleted": Reply("- [1] Score: 1\n- [2] Score: 2", BOTH),
    "markdown": Reply("**[1]** Score: **1**\n**[2]** Score: **2**", BOTH),
    "fenced": Reply(f"```\n{WHOLE}\n```", BOTH),
    "json": Reply('```json\n{"scores": [1, 2]}\n```', BOTH),
    "other_language": Reply("[1] Punkte: 1\n[2] Punkte: 2"),
    "other_case": Reply("[1] SCORE: 1\n[2] score: 2", BOTH),
    "refusal": Reply("I'm sorry, but I can't score these."),
    "prose_before": Reply(f"Here are the 2 scores, from 1 to 3:\n\n{WHOLE}", BOTH),
    "prose_after": Reply(f"{WHOLE}\n\nThe second one says more.", BOTH),
    "swapped": Reply("[2] Score: 2\n[1] Score: 1", BOTH),
    "missing_part": Reply("[2] Score: 2"),
    "empty_part": Reply("[1] Score:\n[2] Score: 2"),
    "extra_part": Reply(f"{WHOLE}\n[3] Score: 3"),
    "repeated": Reply(f"{WHOLE}\nIn short:\n[1] Score: 2\n[2] Score: 1"),
    "thinking_first": Reply(f"<think>[1] Score: 3</think>\n{WHOLE}", BOTH),
    "partial": Reply("[1] Score: 1\n[2] Sco"),
    "hostile": Reply("[1] Score: 1e999\n[2] Score: 99999999999999999999\u0000"),
    "rambling": Reply("A score can be 1 or 2 or even 3, you know. " * 200),
    "line_ends": Reply("[1] Score: 1  \r\n[2] Score: 2\t\r\n", BOTH),
}
