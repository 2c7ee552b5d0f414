"""Replies with an explanation and a score for each of two criteria, between tags, or as JSON."""

from __future__ import annotations

from tests.support.tasks.replies import Reply

WHY = "Blue is one, but curt."
BOTH = {"right": 5, "polite": 2, "explanation": WHY}


def reply(right: str = "5", polite: str = "2", why: str = WHY) -> str:
    return f"<explanation>{why}</explanation>\n<right>{right}</right>\n<polite>{polite}</polite>"


WHOLE = reply()
REPLIES = {
    "numbered": Reply("1. " + WHOLE.replace("\n", "\n2. "), BOTH),
    "bulleted": Reply("- " + WHOLE.replace("\n", "\n- "), BOTH),
    "markdown": Reply(f"## Verdict\n\n{reply('**5**', '2/3')}", BOTH),
    "fenced": Reply(f"```\n{WHOLE}\n```", BOTH),
    "json": Reply(f'```json\n{{"explanation": "{WHY}", "Right": 5, "polite": "2"}}\n```', BOTH),
    "other_language": Reply(WHOLE.replace("right", "richtig").replace("polite", "höflich")),
    "other_case": Reply(WHOLE.replace("right", "RIGHT").replace("explanation", "Explanation"), BOTH),
    "refusal": Reply("I'm sorry, but I can't judge that."),
    "prose_before": Reply(f"The answer gets 3 points in all.\n\n{WHOLE}", BOTH),
    "prose_after": Reply(f"{WHOLE}\n\nOn the whole that is a 4.", BOTH),
    "swapped": Reply("\n".join(reversed(WHOLE.splitlines())), BOTH),
    "missing_part": Reply(f"<explanation>{WHY}</explanation>\n<right>5</right>"),
    "empty_part": Reply(reply(polite=" ")),
    "extra_part": Reply(f"{WHOLE}\n<overall>4</overall>", BOTH),
    "repeated": Reply(f"{WHOLE}\n<right>4</right>"),
    "thinking_first": Reply(f"<think>Perhaps {reply('4', '1')}</think>\n{WHOLE}", BOTH),
    "partial": Reply(f"<explanation>{WHY}</explanation>\n<right>5</right>\n<polite>2"),
    "hostile": Reply(reply(polite="5")),  # on another scale than its own
    "rambling": Reply("Right or polite, from 1 to 5: who can tell? " * 200),
    "line_ends": Reply(WHOLE.replace("\n", "  \r\n").replace(">5<", ">\r\n5 \r\n<"), BOTH),
}
