"""The APIs of embedding models: OpenAI's, and that of Hugging Face's servers.

Sources: the API reference of OpenAI ("Embeddings"), and of Text Embeddings Inference (`/embed`) and the hub's feature
extraction; for conversations, vLLM's pages about pooling models ("Embedding Usages", "Chat Parameters").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from common.llms.apis.chat_completions import count
from common.llms.messages import ChatMessage


@dataclass(frozen=True, slots=True)
class Encoded:
    """Vectors of texts.

    Args:
        tokens: of all texts, if the endpoint reports them.
    """

    vectors: list[list[float]]
    tokens: int | None = None


class EmbeddingsApi(Protocol):
    """An API of embedding models. Pure."""

    path: str
    """Appended to the base URL."""

    def request(self, model: str, inputs: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a request."""

    def encoded(self, reply: Any, number: int) -> Encoded:
        """Reads a reply to a request with so many texts.

        Raises:
            ValueError: it does not have the shape of this API, or another number of vectors.
        """


class OpenAIEmbeddingsApi:
    """`POST /embeddings`."""

    path = "/embeddings"

    def request(self, model: str, inputs: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
        """See `EmbeddingsApi`."""
        return {"model": model, "input": list(inputs), "encoding_format": "float", **options}

    def conversation_request(
        self, model: str, messages: Sequence[ChatMessage], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The body of a request for the vector of a conversation, which vLLM's server takes in place of texts."""
        return {"model": model, "messages": list(messages), "encoding_format": "float", **options}

    def encoded(self, reply: Any, number: int) -> Encoded:
        """See `EmbeddingsApi`. The order is that of `index`, not that of the list."""
        try:
            data = sorted(reply["data"], key=lambda item: item["index"])
            vectors = [item["embedding"] for item in data]
            indices = [item["index"] for item in data]
            usage = reply.get("usage") or {}
        except (KeyError, TypeError, AttributeError):
            raise ValueError("it has no list of data with index and embedding") from None
        if indices != list(range(number)):
            raise ValueError(f"it has the vectors {indices} of {number} texts")
        return Encoded(_checked(vectors), count(usage.get("prompt_tokens")))


class FeatureExtraction:
    """`POST` to the model's own URL; texts go in as `inputs`, and a list of vectors comes out."""

    path = ""

    def request(self, model: str, inputs: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
        """See `EmbeddingsApi`."""
        return {"inputs": list(inputs), **options}

    def encoded(self, reply: Any, number: int) -> Encoded:
        """See `EmbeddingsApi`."""
        if not isinstance(reply, list):
            raise ValueError("it is not a list of vectors")
        if len(reply) != number:
            raise ValueError(f"it has {len(reply)} vectors of {number} texts")
        if reply and isinstance(reply[0], list) and reply[0] and isinstance(reply[0][0], list):
            raise ValueError("it has a vector for each token: the model makes none of whole texts")
        return Encoded(_checked(reply))


def _checked(vectors: list[Any]) -> list[list[float]]:
    for vector in vectors:
        if not isinstance(vector, list) or not vector or not all(isinstance(each, int | float) for each in vector):
            raise ValueError("one of its vectors is not a list of numbers")
    return [[float(each) for each in vector] for vector in vectors]
