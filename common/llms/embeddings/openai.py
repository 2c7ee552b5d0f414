"""OpenAIEmbeddings: any endpoint that speaks OpenAI's embeddings API (OpenAI, vLLM, Ollama, TEI, gateways...)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from common.llms.apis.embeddings import EmbeddingsApi, OpenAIEmbeddingsApi
from common.llms.embeddings.endpoint_embeddings import EndpointEmbeddings

_API = OpenAIEmbeddingsApi()


class OpenAIEmbeddings(EndpointEmbeddings):
    """Asks `model` for embeddings at an endpoint that speaks OpenAI's embeddings API.

    Where it is, its key, waits, failures and retries are as with `OpenAILLM`. The texts of one call are sent in
    requests of at most `batch_size`; one that the endpoint never answers, such as one with a text that is too long,
    fails the whole call.
    """

    _version: ClassVar[int] = 1

    dimensions: int | None = Field(
        default=None, ge=1, description="Length of the vectors, for models that can shorten them."
    )

    url_env: ClassVar[str] = "OPENAI_BASE_URL"

    @property
    def _api(self) -> EmbeddingsApi:
        return _API

    @property
    def _options(self) -> Mapping[str, Any]:
        return {} if self.dimensions is None else {"dimensions": self.dimensions}
