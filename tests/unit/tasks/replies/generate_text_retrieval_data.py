"""Texts in a JSON object, of which there must be one."""

from __future__ import annotations

import json

from tests.support.tasks.replies import Reply


def replies(*names: str) -> dict[str, Reply]:
    """For a task that asks for a JSON object with a text for each of these keys."""
    made = {name: f"{name} of beans" for name in names}
    whole, first, last = json.dumps(made), names[0], names[-1]
    plain = "\n".join(f"{name}: {text}" for name, text in made.items())
    less = {name: text for name, text in made.items() if name != last}
    other = whole.replace("beans", "peas")
    return {
        "numbered": Reply(f"1. {whole}", made),
        "bulleted": Reply("- " + plain.replace("\n", "\n- ")),
        "markdown": Reply("## " + plain.replace("\n", "\n## ")),
        "fenced": Reply(f"```json\n{whole}\n```", made),
        "json": Reply(plain),
        "other_language": Reply(json.dumps({f"das_{name}": text for name, text in made.items()})),
        "other_case": Reply(json.dumps({name.upper().replace("_", " "): text for name, text in made.items()}), made),
        "refusal": Reply("I'm sorry, but I can't help with that."),
        "prose_before": Reply(f"Here is {{one}}:\n{whole}", made),
        "prose_after": Reply(f"{whole}\nI hope {{it}} helps.", made),
        "swapped": Reply(json.dumps(dict(reversed(made.items()))), made),
        "missing_part": Reply(json.dumps(less)),
        "empty_part": Reply(json.dumps({**made, last: " "})),
        "extra_part": Reply(json.dumps({"why": "it is so", **made}), made),
        "repeated": Reply(f"{whole}\n{other}"),
        "thinking_first": Reply(f"<think>{other}</think>{whole}", made),
        "partial": Reply(whole[:-5]),
        "hostile": Reply(f'{{"{first}": {{"{last}": ' * 3000 + '{"a": 1e999}'),
        "rambling": Reply("Beans, {you know}, are many. " * 200),
        "line_ends": Reply(whole.replace(", ", ",  \r\n").replace("beans", "beans \r\n"), made),
    }


REPLIES = replies("user_query", "positive_document", "hard_negative_document")
