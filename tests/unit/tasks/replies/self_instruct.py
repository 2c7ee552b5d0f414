"""Replies with a list of two instructions, one to a line."""

from __future__ import annotations

from tests.support.tasks.replies import Reply

ONE, TWO = "Explain what the moon does to the sea.", "When is the next spring tide?"
LIST = f"1. {ONE}\n2. {TWO}"
MADE = {"instructions": [ONE, TWO]}
REPLIES = {
    "numbered": Reply(f"1) {ONE}\n2) {TWO}", MADE),
    "bulleted": Reply(f"- {ONE}\n- {TWO}", MADE),
    "markdown": Reply(f"**1.** {ONE}\n\n**2.** {TWO}", MADE),
    "fenced": Reply(f"```\n{LIST}\n```", MADE),
    "json": Reply(f'["{ONE}", "{TWO}"]', MADE),
    "other_language": Reply(
        "1. Erkläre die Gezeiten.\n2. Wann ist Springflut?",
        {"instructions": ["Erkläre die Gezeiten.", "Wann ist Springflut?"]},
    ),
    "other_case": Reply(f"1. {ONE.upper()}\n2. {TWO}", {"instructions": [ONE.upper(), TWO]}),
    "refusal": Reply("I'm sorry, but I can't help with that."),
    "prose_before": Reply(f"Here are 2. They differ:\n{LIST}", MADE),
    "prose_after": Reply(f"{LIST}\n\nLet me know if you need more.", MADE),
    "swapped": Reply(f"2. {ONE}\n1. {TWO}"),
    "missing_part": Reply(f"1. {ONE}"),
    "empty_part": Reply(f"1. {ONE}\n2. "),
    "extra_part": Reply(f"{LIST}\n3. Draw the moon."),
    "repeated": Reply(f"{LIST}\n\nOr:\n\n{LIST}"),
    "thinking_first": Reply(f"<think>\n1. Tides\n2. Moon\n</think>\n{LIST}", MADE),
    "partial": Reply(f"1. {ONE}\n2"),
    "hostile": Reply("1. 99999999999999999999.\u0000\n9999999999. [" + "[" * 3000),
    "rambling": Reply("The moon, you know, and the sea.\n" * 200),
    "line_ends": Reply(f"  1.  {ONE}  \r\n\r\n  2.\t{TWO}\t\r\n", MADE),
}
