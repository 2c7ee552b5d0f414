"""Conversations as the text that a model is trained on, which a client that continues a text is sent. Pure.

Sources: the model cards of Llama 3, Qwen2, Gemma and Phi-3, each under "prompt format" or "chat template".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from common.errors import RowError
from common.llms.base import ChatMessage


@dataclass(frozen=True, slots=True)
class RawChat:
    """How a family of models writes its turns. The token that begins a text is left to the endpoint, which adds it.

    Args:
        opening: of a turn, with ROLE for the role.
        end: mark at the end of a turn.
        after_end: what is between that and the next turn.
        marks: that no words of a turn have, since they would begin or end another one.
        roles: that the family calls otherwise.
        has_system: whether there are system messages.
    """

    opening: str
    end: str
    after_end: str
    marks: Sequence[str]
    roles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    has_system: bool = True

    def until(self, turns: Sequence[ChatMessage], role: str) -> str:
        """The text of these turns, and the opening of one of `role`, which the model goes on with.

        Raises:
            RowError: a turn has a mark of the family in its words.
        """
        text = ""
        for turn in turns:
            words = str(turn["content"])
            if found := next((mark for mark in self.marks if mark in words), None):
                raise RowError(f"the text of the {turn['role']} has {found}, which ends or begins a turn of the model")
            text += self.opened(str(turn["role"])) + words + self.end + self.after_end
        return text + self.opened(role)

    def opened(self, role: str) -> str:
        """The opening of a turn: the pre-query template, for one of the user."""
        return self.opening.replace("ROLE", self.roles.get(role, role))

    def said(self, continuation: str) -> str:
        """The words of the turn that a continuation begins with.

        Raises:
            RowError: it has no words, or runs into another turn.
        """
        words = continuation.partition(self.end)[0].strip()
        if not words:
            raise RowError("the turn ends before it has words")
        if found := next((mark for mark in self.marks if mark in words), None):
            raise RowError(f"the turn runs into {found}")
        return words


RAW_CHATS: Mapping[str, RawChat] = MappingProxyType(
    {
        "llama3": RawChat(
            opening="<|start_header_id|>ROLE<|end_header_id|>\n\n",
            end="<|eot_id|>",
            after_end="",
            marks=("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>", "<|end_of_text|>"),
        ),
        "qwen2": RawChat(
            opening="<|im_start|>ROLE\n",
            end="<|im_end|>",
            after_end="\n",
            marks=("<|im_end|>", "<|im_start|>", "<|endoftext|>"),
        ),
        "gemma": RawChat(
            opening="<start_of_turn>ROLE\n",
            end="<end_of_turn>",
            after_end="\n",
            marks=("<end_of_turn>", "<start_of_turn>", "<bos>", "<eos>"),
            roles=MappingProxyType({"assistant": "model"}),
            has_system=False,
        ),
        "phi3": RawChat(
            opening="<|ROLE|>\n",
            end="<|end|>",
            after_end="\n",
            marks=("<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|endoftext|>"),
        ),
    }
)
"""By the name of the family."""
_BEGINNINGS = ("<|begin_of_text|>", "<bos>")


def family_of(template: str) -> str:
    """The family of a name or of the opening of its user's turns.

    Raises:
        ValueError: there is none.
    """
    if template in RAW_CHATS:
        return template
    opening = template
    for beginning in _BEGINNINGS:
        opening = opening.removeprefix(beginning)
    for name, chat in RAW_CHATS.items():
        if opening == chat.opened("user"):
            return name
    raise ValueError(f"{template!r} is not a family of models; there are {', '.join(RAW_CHATS)}")
