"""One JSON array of texts."""

from __future__ import annotations

from tests.support.tasks.replies import Reply

MADE = {"tasks": ["Find a recipe.", "Find a law."]}
WHOLE = '["Find a recipe.", "Find a law."]'
REPLIES = {
    "numbered": Reply("1. Find a recipe.\n2. Find a law."),
    "bulleted": Reply("- Find a recipe.\n- Find a law."),
    "markdown": Reply(f"**Tasks:** {WHOLE}", MADE),
    "fenced": Reply(f"```json\n{WHOLE}\n```", MADE),
    "json": Reply(f'{{"tasks": {WHOLE}}}', MADE),
    "other_language": Reply('["Finde ein Rezept.", "寻找法律"]', {"tasks": ["Finde ein Rezept.", "寻找法律"]}),
    "other_case": Reply(WHOLE.upper(), {"tasks": ["FIND A RECIPE.", "FIND A LAW."]}),
    "refusal": Reply("I'm sorry, but I can't help with that."),
    "prose_before": Reply(f"Here are [some]:\n{WHOLE}", MADE),
    "prose_after": Reply(f"{WHOLE}\nAsk for more [if you like].", MADE),
    "swapped": Reply('["Find a law.", "Find a recipe."]', {"tasks": ["Find a law.", "Find a recipe."]}),
    "missing_part": Reply("[]"),
    "empty_part": Reply('["Find a recipe.", " "]'),
    "extra_part": Reply('[["Find a recipe.", "easy"], ["Find a law.", "hard"]]'),
    "repeated": Reply(f'{WHOLE}\n["Find a map."]'),
    "thinking_first": Reply(f'<think>["Find a map."] is dull</think>{WHOLE}', MADE),
    "partial": Reply(WHOLE[:-4]),
    "hostile": Reply('["Find", 1e999, ' + "[" * 5000),
    "rambling": Reply("Tasks, [you know], are many. " * 200),
    "line_ends": Reply('[  \r\n"Find a recipe. ",\t\r\n"Find a law.\r\n"\r\n]', MADE),
}
