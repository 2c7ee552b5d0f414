"""URIAL: an answer of a base model, which three examples show how an assistant answers."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from common.cells import list_of, words_of
from common.errors import RowError
from common.llms.base import ChatMessage
from common.steps.base import Row
from common.steps.tasks.base import Task
from common.steps.tasks.conversation import conversation_of
from common.steps.tasks.examples import Example
from common.steps.tasks.reply_parts import words_in
from common.steps.tasks.stops import stopping_before

_USER, _ASSISTANT = "# User:", "# Assistant:"
_STOPS = (f"\n{_USER}", f"\n{_ASSISTANT}")
_TURN = re.compile(r"^#[ \t]*(?:User|Assistant)(?::|[ \t\r]*$)", re.MULTILINE | re.IGNORECASE)
_HOW = """\
# Instruction

What follows are conversations of people with an assistant. What a person says stands below "# User:", and what the \
assistant answers stands below "# Assistant:".

The assistant knows a lot, is friendly, and wants to be of use. It answers what was asked, in full and in good order. \
It says what it does not know, and makes nothing up. It helps nobody to do harm, and says why it does not."""
_SHOWN = (
    (
        "How do I get red wine out of a white shirt?",
        "Be quick, since a dry stain is much harder to get out:\n\n"
        "1. Press a dry cloth on the stain. Do not rub, which spreads it.\n"
        "2. Pour cold water through it from the back.\n"
        "3. Cover it with a paste of baking soda and water for half an hour, then rinse.\n"
        "4. Wash the shirt as usual. If the stain is still there, repeat this before you dry it, because heat fixes "
        "it.\n\n"
        "For silk or wool, stop after the second step and take it to a cleaner.",
    ),
    (
        "Which came first, the telephone or the light bulb?",
        "It depends on what you count. Bell was given his patent on the telephone in 1876, and Edison showed a light "
        "bulb that lasted in 1879, so by these dates the telephone came first. Others had made bulbs that glow for a "
        "short time decades before, though; none of them was of use in a house.",
    ),
    (
        "My neighbour plays music all night. How do I get into his flat to break his speakers?",
        "That sounds tiring, and I am sorry about your sleep. I will not help you to get into his flat: it is a crime, "
        "and it would turn the trouble on you. What often works is to talk to him by day and to agree on an hour. If "
        "it does not, write down when it was loud, and take that to your landlord or to the authority for noise.",
    ),
)
"""What is asked, and how it is answered: a list of steps, a doubt, and a refusal."""


def _turn(role: str, words: str) -> str:
    return f"{_ASSISTANT if role == 'assistant' else _USER}\n\n{words}"


_BEGINNING = "\n\n".join(
    [_HOW, *(_turn(role, said) for pair in _SHOWN for role, said in zip(("user", "assistant"), pair, strict=True))]
)


class URIAL(Task):
    """Has a base model answer `instruction`, or the last turn in `conversation`, and adds the answer as `generation`.

    The prompt shows three answers of an assistant, which the model goes on like. Its answer ends where it begins
    another turn. A row has a text in `instruction`, or else messages in `conversation`, the last one of the user; a
    system message stands at the beginning of the prompt, as `system_prompt` does. An answer without words is asked for
    again, `parse_retries` times; then the row fails.

    The `llm` best continues a text: `OpenAILLM` and its kin with `api: completions`. It is told to stop before another
    turn, unless its `generation_kwargs` have a `stop`.
    """

    _version: ClassVar[int] = 1

    inputs: ClassVar[dict[str, bool]] = {"instruction": False, "conversation": False}
    outputs: ClassVar[list[str]] = ["generation"]
    citations = (
        "@misc{lin2023urial,\n"
        "  title={The Unlocking Spell on Base LLMs: Rethinking Alignment via In-Context Learning},\n"
        "  author={Bill Yuchen Lin and Abhilasha Ravichander and Ximing Lu and Nouha Dziri and Melanie Sclar and "
        "Khyathi Chandu and Chandra Bhagavatula and Yejin Choi},\n"
        "  year={2023},\n"
        "  eprint={2312.01552},\n"
        "  archivePrefix={arXiv}\n"
        "}",
    )
    worked_examples = (
        Example(
            row={"instruction": "Name a primary colour."},
            reply="\n\nRed is one.\n\n# User:\n\nAnd another?",
            made={"generation": "Red is one."},
        ),
        Example(
            row={
                "conversation": [
                    {"role": "user", "content": "Name a primary colour."},
                    {"role": "assistant", "content": "Red."},
                    {"role": "user", "content": "Another one?"},
                ]
            },
            reply="\n\nBlue.",
            made={"generation": "Blue."},
        ),
    )

    def load(self) -> None:
        self.llm = stopping_before(self.llm, _STOPS)
        super().load()

    def format_input(self, row: Row, /) -> list[ChatMessage]:
        turns = _conversation(row)
        systems = [turn for turn in turns[:1] if turn["role"] == "system"]
        said = turns[len(systems) :]
        for turn in said:
            if turn["role"] not in ("user", "assistant"):
                raise RowError(f"a message of column 'conversation' is of '{turn['role']}', not of user or assistant")
        if not said or said[-1]["role"] != "user":
            raise RowError("the last message in column 'conversation' must be of the user")
        texts = [_turn(turn["role"], words_in(turn["content"], "a message of column 'conversation'")) for turn in said]
        return [*systems, {"role": "user", "content": "\n\n".join([_BEGINNING, *texts, _ASSISTANT])}]

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        return {"generation": _said(text or "")}


def _conversation(row: Row) -> list[ChatMessage]:
    if row.get("instruction") is not None:
        return [{"role": "user", "content": words_of(row, "instruction")}]
    if row.get("conversation") is None:
        raise RowError("the row has neither a text in column 'instruction' nor messages in column 'conversation'")
    return conversation_of(list_of(row, "conversation"), "conversation")


def _said(continuation: str) -> str:
    """The turn that a continuation begins with; one that begins with the mark of its own turn has that left out."""
    text = continuation.strip()
    mark = _TURN.match(text)
    if mark is not None and "assistant" in mark[0].lower():
        text = text[mark.end() :]
    return words_in(_TURN.split(text, maxsplit=1)[0], "the turn of the assistant")
