"""Any text is a turn, up to the mark that ends it; one with another mark of the family is none."""

from __future__ import annotations

from tests.support.tasks.replies import Reply
from tests.unit.tasks.replies.magpie import REPLIES as OF_MAGPIE

REPLIES = {
    shape: Reply(reply.text, None if reply.made is None else {**reply.made, "system_prompt_key": "garden"})
    for shape, reply in OF_MAGPIE.items()
}
