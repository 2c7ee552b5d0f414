"""Replies with a question and its answer; each counts if it is there once, between its tags or in a JSON object."""

from __future__ import annotations

from tests.support.tasks.replies import Reply

ASKED, SAID = "Why are there two tides?", "Since there are two bulges."
BOTH = {"user": ASKED, "assistant": SAID}
WHOLE = f"<user>{ASKED}</user>\n<assistant>{SAID}</assistant>"
REPLIES = {
    "numbered": Reply(f"1. <user>{ASKED}</user>\n2. <assistant>{SAID}</assistant>", BOTH),
    "bulleted": Reply(f"- <user>{ASKED}</user>\n- <assistant>{SAID}</assistant>", BOTH),
    "markdown": Reply(f"**User:** {ASKED}\n**Assistant:** {SAID}"),
    "fenced": Reply(f"```\n{WHOLE}\n```", BOTH),
    "json": Reply(f'{{"user": "{ASKED}", "assistant": "{SAID}"}}', BOTH),
    "other_language": Reply("<nutzer>Warum?</nutzer>\n<assistent>Darum.</assistent>"),
    "other_case": Reply(WHOLE.replace("user", "USER").replace("assistant", "Assistant"), BOTH),
    "refusal": Reply("I'm sorry, but I can't help with that."),
    "prose_before": Reply(f"Here is a hard one:\n\n{WHOLE}", BOTH),
    "prose_after": Reply(f"{WHOLE}\n\nIt takes two steps.", BOTH),
    "swapped": Reply(f"<assistant>{SAID}</assistant>\n<user>{ASKED}</user>", BOTH),
    "missing_part": Reply(f"<user>{ASKED}</user>\n{SAID}"),
    "empty_part": Reply(f"<user>{ASKED}</user>\n<assistant>\n</assistant>"),
    "extra_part": Reply(f"<steps>two</steps>\n{WHOLE}", BOTH),
    "repeated": Reply(f"{WHOLE}\n{WHOLE.replace('two', '2')}"),
    "thinking_first": Reply(f"<think><user>What is a tide?</user> is too easy.</think>\n{WHOLE}", BOTH),
    "partial": Reply(f"<user>{ASKED}</user>\n<assistant>Since there"),
    "hostile": Reply(f"<user>{{title}}</user>[[[Assistant]]] {SAID} [[[User]]]\u0000<assistant>"),
    "rambling": Reply("The moon, you know, and the sea. " * 200),
    "line_ends": Reply(f"<user>\t\r\n{ASKED}  \r\n</user>  \r\n<assistant>{SAID}\r\n</assistant>\r\n", BOTH),
}
