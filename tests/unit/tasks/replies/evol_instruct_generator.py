"""As for `EvolInstruct`, whose texts have a fitting length; a text of another length fails in the end."""

from __future__ import annotations

from tests.support.tasks.replies import Reply
from tests.unit.tasks.replies.evol_instruct import replies

REPLIES = {
    **replies("new_instruction", "instruction", "Name a star."),
    "line_ends": Reply("<new_instruction>  \r\nName a star.\t\r\n</new_instruction>", {"instruction": "Name a star."}),
    "missing_part": Reply("<new_instruction>A star</new_instruction>"),  # too short, however often
}
