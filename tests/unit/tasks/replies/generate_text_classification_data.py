"""Replies with three texts in a JSON object, of which there must be one."""

from __future__ import annotations

from tests.support.tasks.replies import Reply

MADE = {"input_text": "Never again.", "label": "criticism", "misleading_label": "praise"}
JSON = '{"input_text": "Never again.", "label": "criticism", "misleading_label": "praise"}'
REPLIES = {
    "numbered": Reply(f"1. {JSON}", MADE),
    "bulleted": Reply("- input_text: Never again.\n- label: criticism\n- misleading_label: praise"),
    "markdown": Reply("**input_text**: Never again.\n**label**: criticism\n**misleading_label**: praise"),
    "fenced": Reply(f"```json\n{JSON}\n```", MADE),
    "json": Reply("input_text: Never again.\nlabel: criticism\nmisleading_label: praise"),
    "other_language": Reply('{"Text": "Nie wieder.", "Etikett": "Kritik", "falsches_Etikett": "Lob"}'),
    "other_case": Reply('{"Input Text": "Never again.", "LABEL": "criticism", "Misleading-Label": "praise"}', MADE),
    "refusal": Reply("I'm sorry, but I can't help with that."),
    "prose_before": Reply(f"Here is one for {{you}}:\n{JSON}", MADE),
    "prose_after": Reply(f"{JSON}\nThe label is {{criticism}}, since nobody returns.", MADE),
    "swapped": Reply('{"misleading_label": "praise", "label": "criticism", "input_text": "Never again."}', MADE),
    "missing_part": Reply('{"input_text": "Never again.", "label": "criticism"}'),
    "empty_part": Reply('{"input_text": "Never again.", "label": "criticism", "misleading_label": " "}'),
    "extra_part": Reply(JSON.replace("}", ', "reason": "it says so"}'), MADE),
    "repeated": Reply(f"{JSON}\n{JSON.replace('Never', 'Not')}"),
    "thinking_first": Reply(f"<think>{JSON.replace('Never', 'Not')} is too short</think>{JSON}", MADE),
    "partial": Reply(JSON[:-12]),
    "hostile": Reply('{"input_text": {"label": ' * 3000 + '{"label": 1e999, "input_text": "\\ud800"}'),
    "rambling": Reply("A review, {you know}, may say this or that. " * 200),
    "line_ends": Reply(JSON.replace(", ", ",  \r\n").replace("Never again.", "  Never again.\r\n"), MADE),
}
