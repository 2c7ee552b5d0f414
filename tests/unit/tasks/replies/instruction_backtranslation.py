"""Replies with a reason and a score from 1 to 5, each once, between tags or in a JSON object."""

from __future__ import annotations

from tests.support.tasks.replies import Reply

WHY = "It does not say how."
MADE = {"score": 2, "reason": WHY}
WHOLE = f"<reason>{WHY}</reason>\n<score>2</score>"
REPLIES = {
    "numbered": Reply(f"1. <reason>{WHY}</reason>\n2. <score>2</score>", MADE),
    "bulleted": Reply(f"- <reason>{WHY}</reason>\n- <score>2/5</score>", MADE),
    "markdown": Reply(f"**Reason:** {WHY}\n**Score:** 2"),
    "fenced": Reply(f"```xml\n{WHOLE}\n```", MADE),
    "json": Reply(f'{{"reason": "{WHY}", "score": 2}}', MADE),
    "other_language": Reply("<grund>Es sagt nicht, wie.</grund>\n<note>2</note>"),
    "other_case": Reply(WHOLE.replace("reason", "REASON").replace("score", "Score"), MADE),
    "refusal": Reply("I'm sorry, but I can't help with that."),
    "prose_before": Reply(f"From 1 to 5:\n\n{WHOLE}", MADE),
    "prose_after": Reply(f"{WHOLE}\n\nA 3 would be too kind.", MADE),
    "swapped": Reply(f"<score>2</score>\n<reason>{WHY}</reason>", MADE),
    "missing_part": Reply("<score>2</score>"),
    "empty_part": Reply('{"reason": " ", "score": 2}'),
    "extra_part": Reply(f"<topic>bread</topic>\n{WHOLE}", MADE),
    "repeated": Reply(f"{WHOLE}\n<score>3</score>"),
    "thinking_first": Reply(f"<think><score>3</score>? Too kind.</think>\n{WHOLE}", MADE),
    "partial": Reply(f"<reason>{WHY}</reason>\n<score>2"),
    "hostile": Reply(f"<reason>{WHY}</reason>\n<score>99999999999999999999</score>\u0000"),
    "rambling": Reply("It is a 2, you know, or a 3. " * 200),
    "line_ends": Reply(f"<reason>{WHY}  \r\n</reason>\t\r\n<score>\r\n2 \r\n</score>\r\n", MADE),
}
