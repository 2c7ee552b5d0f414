"""A model that replies what a test tells it, and one row through a task."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import PrivateAttr

from common.llms import LLM, ChatMessage, Generation
from common.llms.structured.structured_output import StructuredOutput
from common.steps.base import GeneratorStep, Row
from common.steps.tasks.asking_step import AskingStep


class Scripted(LLM):
    """Gives its replies one after the other, and begins again after the last one."""

    replies: list[str | None]
    reasoning: str | None = None
    structured_output: StructuredOutput | None = None

    _asked: list[list[ChatMessage]] = PrivateAttr(default_factory=list)

    @property
    def model_name(self) -> str:
        return "scripted"

    @property
    def continues_text(self) -> bool:
        return True

    @property
    def answer_form(self) -> StructuredOutput | None:
        return self.structured_output

    @property
    def asked(self) -> list[list[ChatMessage]]:
        """The conversations so far."""
        return self._asked

    def with_form(self, form: StructuredOutput) -> Scripted:
        return self.model_copy(update={"structured_output": form})

    async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
        reply = self.replies[len(self._asked) % len(self.replies)]
        self._asked.append(messages)
        return Generation(reply, finish_reason="stop", input_tokens=1, output_tokens=1, reasoning=self.reasoning)


def scripted(
    cls: type[AskingStep], replies: str | Sequence[str | None], parameters: Mapping[str, Any] | None = None
) -> AskingStep:
    """A task, not loaded, whose model gives these replies; its pipeline has `enable_metadata`."""
    llm = Scripted(replies=[replies] if isinstance(replies, str) else list(replies))
    task = cls(**{"name": "task", "llm": llm, "retries": 0, "parse_retries": 0, **(parameters or {})})
    task._enable_metadata = True
    return task


def rows_of(task: AskingStep, row: Row) -> list[Row]:
    """What a row becomes in a worker; of a generator task, the rows that it makes."""
    task.load()
    try:
        if isinstance(task, GeneratorStep):
            return [made for rows, _ in task.process() for made in rows]

        async def one() -> Any:
            await task.aload()
            try:
                return await task.process_row(row)  # type: ignore[attr-defined]
            finally:
                await task.aunload()

        made = asyncio.run(one())
    finally:
        task.unload()
    return [made] if isinstance(made, dict) else list(made or ())
