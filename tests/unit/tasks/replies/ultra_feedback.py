"""Replies about two texts, each with a rationale and a rating between tags, or as JSON."""

from __future__ import annotations

from tests.support.tasks.replies import Reply

WHY_1, WHY_2 = "Blue is one.", "Pink is a mixture."
BOTH = {"ratings": [5, 1], "rationales": [WHY_1, WHY_2]}


def review(number: int, why: str, rating: str) -> str:
    return f"<text_{number}>\n<rationale>{why}</rationale>\n<rating>{rating}</rating>\n</text_{number}>"


FIRST, SECOND = review(1, WHY_1, "5"), review(2, WHY_2, "1")
WHOLE = f"{FIRST}\n{SECOND}"
JSON = (
    '{"texts": [{"text": 2, "rationale": "Pink is a mixture.", "rating": 1}, '
    '{"text": 1, "rationale": "Blue is one.", "rating": 5}]}'
)
REPLIES = {
    "numbered": Reply(f"Text 1\nRationale: {WHY_1}\nRating: 5\n\nText 2\nRationale: {WHY_2}\nRating: 1"),
    "bulleted": Reply(f"- {FIRST}\n- {SECOND}", BOTH),
    "markdown": Reply(f"## Texts\n\n{review(1, WHY_1, '**5**')}\n\n{review(2, WHY_2, '*1/5*')}", BOTH),
    "fenced": Reply(f"```xml\n{WHOLE}\n```", BOTH),
    "json": Reply(f"```json\n{JSON}\n```", BOTH),
    "other_language": Reply(WHOLE.replace("rationale", "begründung").replace("rating", "note")),
    "other_case": Reply(WHOLE.replace("text_", "Text_").replace("rating", "RATING"), BOTH),
    "refusal": Reply("I'm sorry, but I can't rate these texts."),
    "prose_before": Reply(f"Here are my ratings of text 1 and 2:\n\n{WHOLE}", BOTH),
    "prose_after": Reply(f"{WHOLE}\n\nSo the first one is better.", BOTH),
    "swapped": Reply(f"{SECOND}\n{FIRST}", BOTH),
    "missing_part": Reply(FIRST),
    "empty_part": Reply(f"{FIRST}\n{review(2, WHY_2, ' ')}"),
    "extra_part": Reply(f"{WHOLE}\n{review(3, 'Green is one.', '4')}"),
    "repeated": Reply(f"{WHOLE}\n{review(2, WHY_2, '2')}"),
    "thinking_first": Reply(f"<think>{review(1, 'Hm.', '3')}</think>\n{WHOLE}", BOTH),
    "partial": Reply(f"{FIRST}\n<text_2><rationale>{WHY_2}</rationale><rating>1"),
    "hostile": Reply(f"{FIRST}\n{review(2, WHY_2, '1e999')}\u0000</text_2><text_9>"),
    "rambling": Reply("Colours can be rated in many ways: from 1 to 5, say. " * 200),
    "line_ends": Reply(WHOLE.replace("\n", "  \r\n"), BOTH),
}
