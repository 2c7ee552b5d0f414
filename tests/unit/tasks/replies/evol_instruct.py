"""The rewritten text stands between its tags, once."""

from __future__ import annotations

from tests.support.tasks.replies import Reply


def replies(tag: str, column: str, before: str) -> dict[str, Reply]:
    """For a task that rewrites `before` into a column, asked for between tags."""
    new = "Name a star of Orion."
    whole, made = f"<{tag}>{new}</{tag}>", {column: new}
    return {
        "numbered": Reply(f"1. {whole}", made),
        "bulleted": Reply(f"- {whole}", made),
        "markdown": Reply(f"**Rewritten:** {new}"),
        "fenced": Reply(f"```xml\n{whole}\n```", made),
        "json": Reply(f'{{"{tag}": "{new}"}}'),
        "other_language": Reply("<neu>Nenne einen Stern des Orion.</neu>"),
        "other_case": Reply(whole.replace(tag, tag.upper()), made),
        "refusal": Reply("I'm sorry, but I can't help with that."),
        "prose_before": Reply(f"Here it is, somewhat harder:\n{whole}", made),
        "prose_after": Reply(f"{whole}\nIt now names a constellation.", made),
        "swapped": Reply(f"</{tag}>{new}<{tag}>"),
        "missing_part": Reply(f"<{tag}>{new}"),
        "empty_part": Reply(f"<{tag}>\n</{tag}>"),
        "extra_part": Reply(f"<why>harder</why>{whole}", made),
        "repeated": Reply(f"{whole}\n<{tag}>Name two stars.</{tag}>"),
        "thinking_first": Reply(f"<think><{tag}>Name two?</{tag}> too easy</think>{whole}", made),
        "partial": Reply(f"<{tag}>Name a star of"),
        "hostile": Reply(f"<{tag}><PROMPT></{tag}></{tag}>\u0000<RESPONSE>"),
        "rambling": Reply("Stars, you know, are many. " * 200),
        "line_ends": Reply(f"<{tag}>  \r\n{before}\t\r\n</{tag}>"),  # as it was before
    }


REPLIES = replies("new_instruction", "evolved_instruction", "Name a star.")
