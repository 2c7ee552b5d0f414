"""Any text is an answer, up to where the model begins another turn."""

from __future__ import annotations

from dataclasses import replace

from tests.support.tasks.replies import Reply, kept_as_it_is

RED = {"generation": "Red."}
REPLIES = kept_as_it_is("instruction") | {
    "markdown": Reply("# Colours\n\n**Red.**", {"generation": "# Colours\n\n**Red.**"}),
    "other_case": Reply("Red.\n\n# USER\nAnd another?", RED),
    "extra_part": Reply("\n\nRed.\n\n# User:\n\nAnother?\n\n# Assistant:\n\nBlue.", RED),
    "repeated": Reply("Red.\n\n# Assistant: Blue.", RED),
    "swapped": Reply("# Assistant:\n\nRed.", RED),
    "missing_part": Reply("# User:\n\nAnother?"),
    "empty_part": Reply(" \n\n# User:\n\nAnother?"),
    "partial": Reply("Red.\n\n# Us", {"generation": "Red.\n\n# Us"}),
    "line_ends": Reply("Red.  \r\n\r\n# User:\t\r\nBlue", RED),
}
REPLIES["rambling"] = replace(
    REPLIES["rambling"], made={"generation": "Well, colours, you know. " * 199 + "Well, colours, you know."}
)
