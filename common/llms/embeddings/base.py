"""The contract of a client of an embedding model: texts in, one vector for each out."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence

from common.errors import UsageError
from common.llms.messages import ChatMessage
from common.llms.model_client import ModelClient
from common.naming.registry import Namespace

Vector = list[float]


class Embeddings(ModelClient):
    """A client of an embedding model.

    A subclass defines `encode`, as with distilabel, or `aencode` as well, and `aencode_conversation` if it can apply a
    chat template. See `ModelClient` for what is called when.
    """

    @classmethod
    def _namespace(cls) -> Namespace[Embeddings]:
        return EMBEDDINGS_NAMES

    @classmethod
    def _without_type(cls) -> str:
        return "embeddings need a type, for example {type: OpenAIEmbeddings, model: ...}"

    @abstractmethod
    def encode(self, inputs: Sequence[str]) -> list[Vector]:
        """A vector for each text, in their order. Not on an event loop, which has `aencode`."""

    async def aencode(self, inputs: Sequence[str]) -> list[Vector]:
        """The same on an event loop; by default `encode` in a thread.

        Raises:
            RowError: the endpoint gave no vectors; names endpoint, model and the next move.
        """
        return await asyncio.to_thread(self.encode, inputs)

    async def aencode_conversation(self, messages: Sequence[ChatMessage]) -> Vector:
        """A vector of a whole conversation, of a client that can do that; on an event loop.

        Raises:
            UsageError: it encodes texts alone.
            RowError: the endpoint gave no vector.
        """
        raise UsageError(f"{type(self).__name__} encodes texts alone, not conversations")

    @property
    def encodes_conversations(self) -> bool:
        """Whether the class has an `aencode_conversation` of its own."""
        return type(self).aencode_conversation is not Embeddings.aencode_conversation


EMBEDDINGS_NAMES: Namespace[Embeddings] = Namespace(
    "embeddings client",
    Embeddings,  # type: ignore[type-abstract]
    "Embeddings",
    ("embeddings",),
    "penstock.embeddings",
)
