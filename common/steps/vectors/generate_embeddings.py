"""GenerateEmbeddings: adds the vectors of texts and conversations, by the hidden states of a language model."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from pydantic import Field, field_validator

from common.cells import cell_of, kind_of
from common.errors import RowError
from common.llms.embeddings.base import Embeddings
from common.llms.media.parts import has_parts, with_media
from common.llms.messages import ChatMessage
from common.steps.base import AsyncStep, Row
from common.steps.tasks.asker import PromptError
from common.steps.tasks.conversation import conversation_of


class GenerateEmbeddings(AsyncStep):
    """Adds `embedding`, the vector of `text` in the chat template of `llm`, and `model_name`.

    `text` is a text, which is one message of the user, or a conversation, a list of messages. The server of the model
    applies the template and gives a vector of the whole; for a language model, that is the hidden state of the last
    token in the last layer. vLLM does so when it is started with `--runner pooling --convert embed`:

        llm:
          type: OpenAIEmbeddings
          model: my-model
          base_url: "http://127.0.0.1:8000/v1"
          extra_body: {add_generation_prompt: true, use_activation: false}

    distilabel takes the same state. Without the first option the template ends with the last message; without the
    second, vectors are scaled to length 1. After "What Makes Good Data for Alignment?" (Liu et al., 2023,
    arXiv:2312.15685).
    """

    _version: ClassVar[int] = 1

    final_errors = (PromptError,)

    llm: Embeddings = Field(
        description="The client of the model, which encodes conversations: {type: OpenAIEmbeddings, model: ..., "
        "base_url: ...}."
    )

    @field_validator("llm")
    @classmethod
    def _encodes_conversations(cls, llm: Embeddings) -> Embeddings:
        if not llm.encodes_conversations:
            raise ValueError(
                f"{type(llm).__name__} encodes texts alone; use OpenAIEmbeddings at a server that takes messages, such "
                "as vLLM, or the step EmbeddingGeneration, which encodes texts as they are"
            )
        return llm

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["embedding", "model_name"]

    def load(self) -> None:
        """Loads the client."""
        self.llm.load()

    async def aload(self) -> None:
        """Opens the client."""
        await self.llm.aload()

    async def aunload(self) -> None:
        """Closes the client."""
        await self.llm.aunload()

    def unload(self) -> None:
        """Unloads the client."""
        self.llm.unload()

    async def process_row(self, row: Row) -> Row:
        """See `AsyncStep`.

        Raises:
            PromptError: `text` is missing, or neither a text nor a conversation.
            RowError: the endpoint gave no vector.
        """
        try:
            messages = _messages_of(row)
            if has_parts(messages):
                messages = await asyncio.to_thread(with_media, messages, row)
        except RowError as error:
            raise PromptError(str(error)) from None
        vector = await self.llm.aencode_conversation(messages)
        return {**row, "embedding": vector, "model_name": self.llm.model_name}


def _messages_of(row: Row) -> list[ChatMessage]:
    text = cell_of(row, "text")
    if isinstance(text, str):
        return [{"role": "user", "content": text}]
    if isinstance(text, list | tuple):
        return conversation_of(list(text), "text")
    raise RowError(f"column 'text' holds {kind_of(text)} where a text or a conversation is expected")
