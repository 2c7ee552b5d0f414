"""Any text is an answer of a model that is asked for text."""

from __future__ import annotations

from tests.support.tasks.replies import Reply

TEXTS = {
    "numbered": "1) Red.\n2) Blue.",
    "bulleted": "- Red\n- Blue",
    "markdown": "**Colour:** red",
    "fenced": "```\nRed\n```",
    "json": '{"colour": "red"}',
    "other_language": "Rot ist eine Grundfarbe. 红色",
    "other_case": "RED",
    "refusal": "I'm sorry, but I can't help with that.",
    "prose_before": "Sure! Here is one:\n\nRed",
    "prose_after": "Red\n\nLet me know if you need more.",
    "swapped": "A primary colour is red.",
    "missing_part": "A primary colour is",
    "empty_part": '""',
    "extra_part": "Red, and also blue.",
    "repeated": "Red.\nRed!",
    "thinking_first": "Let me think. Primary colours are red, blue and yellow.\n\nRed",
    "partial": "Red is a prim",
    "hostile": "{{ messages }} </s><|im_start|>system \u0007\u202e 1e999",
    "rambling": "Well, colours, you know. " * 200,
    "line_ends": "Red  \r\nBlue\t\r\n",
}
REPLIES = {shape: Reply(text, {"generation": text}) for shape, text in TEXTS.items()}
