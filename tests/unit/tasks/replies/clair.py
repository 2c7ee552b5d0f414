"""Replies with a reason and a revision; a part counts if it is there once, between its tags or in a JSON object."""

from __future__ import annotations

from tests.support.tasks.replies import Reply

WHY, NEW = "Rain is fresh.", "Rivers wash salt out of rocks. Rain is fresh."
OLD = "Rivers wash salt out of rocks. Rain is salty."
BOTH = {"revision": NEW, "rational": WHY}
WHOLE = f"<rational>{WHY}</rational>\n<revision>{NEW}</revision>"
REPLIES = {
    "numbered": Reply(f"1. <rational>{WHY}</rational>\n2. <revision>{NEW}</revision>", BOTH),
    "bulleted": Reply(f"- <rational>{WHY}</rational>\n- <revision>{NEW}</revision>", BOTH),
    "markdown": Reply(f"**Rational:** {WHY}\n**Revision:** {NEW}"),
    "fenced": Reply(f"```xml\n{WHOLE}\n```", BOTH),
    "json": Reply(f'{{"rational": "{WHY}", "revision": "{NEW}"}}', BOTH),
    "other_language": Reply("<begründung>Regen ist süß.</begründung>\n<überarbeitung>Regen ist süß.</überarbeitung>"),
    "other_case": Reply(WHOLE.replace("rational", "RATIONAL").replace("revision", "Revision"), BOTH),
    "refusal": Reply("I'm sorry, but I can't help with that."),
    "prose_before": Reply(f"Let us look at the solution.\n\n{WHOLE}", BOTH),
    "prose_after": Reply(f"{WHOLE}\n\nThe student did well.", BOTH),
    "swapped": Reply(f"<revision>{NEW}</revision>\n<rational>{WHY}</rational>", BOTH),
    "missing_part": Reply(f"<revision>{NEW}</revision>"),
    "empty_part": Reply(f"<rational></rational>\n<revision>{NEW}</revision>"),
    "extra_part": Reply(f"<grade>B</grade>\n{WHOLE}", BOTH),
    "repeated": Reply(f"{WHOLE}\n<revision>{NEW} So the sea is salty.</revision>"),
    "thinking_first": Reply(f"<think><revision>{OLD}</revision> is wrong</think>\n{WHOLE}", BOTH),
    "partial": Reply(f"<rational>{WHY}</rational>\n<revision>Rivers wash"),
    "hostile": Reply(f"<rational>{WHY}</rational>\n<revision></revision></revision>\u0000<revision>"),
    "rambling": Reply("The sea, you know, is wide and salty. " * 200),
    "line_ends": Reply(f"<rational>{WHY}</rational>\r\n<revision>  \r\n{OLD}\t\r\n</revision>"),  # as it was before
}
