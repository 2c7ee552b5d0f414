"""Replies with feedback, then `[RESULT]` and a score."""

from __future__ import annotations

from tests.support.tasks.replies import Reply

WHY = "Blue is one; the doubt is needless."
BOTH = {"feedback": WHY, "result": 4}
WHOLE = f"Feedback: {WHY} [RESULT] 4"
REPLIES = {
    "numbered": Reply(f"1. {WHY}\n2. Result: 4"),
    "bulleted": Reply(f"- {WHY}\n- [RESULT] 4", {"feedback": f"- {WHY}\n-", "result": 4}),
    "markdown": Reply(f"**Feedback:** {WHY} **[RESULT]** **4**", {"feedback": f"{WHY} **", "result": 4}),
    "fenced": Reply(f"```\n{WHOLE}\n```", BOTH),
    "json": Reply(f'{{"feedback": "{WHY}", "result": 4}}', BOTH),
    "other_language": Reply(f"Rückmeldung: {WHY} [ERGEBNIS] 4"),
    "other_case": Reply(f"FEEDBACK: {WHY} [Result] 4", BOTH),
    "refusal": Reply("I'm sorry, but I can't judge that."),
    "prose_before": Reply(
        f"Here it is: 3 points.\n\n{WHY} [RESULT] 4", {"feedback": f"Here it is: 3 points.\n\n{WHY}", "result": 4}
    ),
    "prose_after": Reply(f"{WHOLE}\n\nLet me know if you need more.", BOTH),
    "swapped": Reply(f"[RESULT] 4 Feedback: {WHY}"),
    "missing_part": Reply(f"Feedback: {WHY}"),
    "empty_part": Reply(f"Feedback: {WHY} [RESULT] "),
    "extra_part": Reply(f"{WHOLE} [CONFIDENCE] 3"),
    "repeated": Reply(f"{WHOLE}\nFeedback: {WHY} [RESULT] 5"),
    "thinking_first": Reply(f"<think>Perhaps [RESULT] 2</think>\n{WHOLE}", BOTH),
    "partial": Reply(f"Feedback: {WHY} [RESU"),
    "hostile": Reply(f"Feedback: {WHY} [RESULT] 6"),
    "rambling": Reply("Feedback can be given in many ways, from 1 to 5. " * 200),
    "line_ends": Reply(f"Feedback: {WHY}  \r\n[RESULT]\t\r\n4 \r\n", BOTH),
}
