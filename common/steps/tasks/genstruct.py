"""Genstruct: a question about a document, and its answer."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from pydantic import Field

from common.cells import words_of
from common.errors import RowError
from common.steps.base import Row
from common.steps.tasks.base import Task
from common.steps.tasks.examples import Example
from common.steps.tasks.reply_forms import schema_of, tags_for
from common.steps.tasks.reply_parts import parts_in, without_thoughts, words_in
from common.steps.tasks.stops import stopping_before

_TEXTS = {"user": "the question", "assistant": "its answer"}
_TRAINED_WITH = (
    "[[[Title]]] {title}\n[[[Content]]] {content}\n\n"
    "The following is an interaction between a user and an AI assistant that is related to the above text.\n\n"
    "[[[User]]] "
)
"""The text that Genstruct-7B continues, by its model card."""
_STOPS = ("[[[User]]]", "[[[Title]]]")
_MARK = re.compile(r"\[\[\[(user|assistant|title|content)\]\]\]", re.IGNORECASE)


class Genstruct(Task):
    """Has the model write a question that the document in `title` and `content` answers, as `user`, and its answer, as
    `assistant`.

    A model of conversations is told what to write, and replies with both between tags or in a JSON object. An `llm`
    that continues a text, such as `OpenAILLM` with `api: completions`, gets the text that Genstruct-7B was trained
    with; its answer ends where the model begins another interaction. A reply without question or answer, or with two of
    a kind, is asked for again, `parse_retries` times; then the row fails.
    """

    _version: ClassVar[int] = 1

    inputs: ClassVar[list[str]] = ["title", "content"]
    outputs: ClassVar[list[str]] = ["user", "assistant"]
    citations = (
        "@misc{cui2023adainstruct,\n"
        "  title={Ada-Instruct: Adapting Instruction Generators for Complex Reasoning},\n"
        "  author={Wanyun Cui and Qianle Wang},\n"
        "  year={2023},\n"
        "  eprint={2310.04484},\n"
        "  archivePrefix={arXiv}\n"
        "}",
        "@misc{genstruct2024,\n"
        "  title={Genstruct 7B},\n"
        "  author={{Nous Research}},\n"
        "  year={2024},\n"
        "  url={https://huggingface.co/NousResearch/Genstruct-7B}\n"
        "}",
    )
    worked_examples = (
        Example(
            row={
                "title": "Tides",
                "content": "The moon raises two bulges of water. The earth turns below them once a day.",
            },
            reply="<user>The earth turns once a day; why are there two high tides in that time?</user>\n"
            "<assistant>The moon raises two bulges of water, and a coast passes through both in one turn.</assistant>",
            made={
                "user": "The earth turns once a day; why are there two high tides in that time?",
                "assistant": "The moon raises two bulges of water, and a coast passes through both in one turn.",
            },
            parameters={"genstruct_format": False},
        ),
        Example(
            row={"title": "Tides", "content": "The moon raises two bulges of water."},
            reply=" What raises tides?\n[[[Assistant]]] The moon does.\n\n[[[User]]] And the sun?",
            made={"user": "What raises tides?", "assistant": "The moon does."},
            parameters={"genstruct_format": True},
        ),
    )

    genstruct_format: bool | None = Field(
        default=None,
        description="Send the text that Genstruct-7B was trained with, and read what it replies; null: if the llm "
        "continues a text.",
    )

    @property
    def _is_continued(self) -> bool:
        return self.llm.continues_text if self.genstruct_format is None else self.genstruct_format

    def load(self) -> None:
        if self._is_continued:
            self.llm = stopping_before(self.llm, _STOPS)
        super().load()

    def get_structured_output(self) -> dict[str, Any] | None:
        return None if self._is_continued else schema_of(_TEXTS)

    def format_input(self, row: Row, /) -> str:
        title, content = words_of(row, "title").strip(), words_of(row, "content").strip()
        if self._is_continued:
            return _TRAINED_WITH.format(title=title, content=content)
        return (
            "Here is a document. Write a question, or a request, that it answers, and the answer. To find the answer "
            "takes thought: more than one step of it, or several parts of the document. The question is understood "
            "without the document, so it says itself what it is about. The answer is full, and says nothing against "
            "the document. Write both in the language of the document.\n\n"
            f"Title: {title}\n\n"
            f"{content}\n\n"
            f"{tags_for(_TEXTS, as_json=self.use_default_structured_output)}"
        )

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        return dict(_continued(text or "") if self._is_continued else parts_in(text or "", list(_TEXTS)))


def _continued(reply: str) -> dict[str, str]:
    """The question that a reply goes on with, and the answer to it, until another mark."""
    question, *rest = _MARK.split(without_thoughts(reply))  # texts, and between them the names of marks
    if rest and rest[0].lower() == "user" and not question.strip():
        question, *rest = rest[1:]
    if not rest or rest[0].lower() != "assistant":
        raise RowError("there is no [[[Assistant]]] after the question, where its answer begins")
    return {"user": words_in(question, "the question"), "assistant": words_in(rest[1], "[[[Assistant]]]")}
