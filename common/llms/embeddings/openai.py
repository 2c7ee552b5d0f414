"""OpenAIEmbeddings: any endpoint that speaks OpenAI's embeddings API (OpenAI, vLLM, Ollama, TEI, gateways...)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from common.llms.answers.request_key import Family
from common.llms.answers.row_answers import shared_questions
from common.llms.apis.embeddings import EmbeddingsApi, Encoded, OpenAIEmbeddingsApi
from common.llms.calls.calling import RequestRefused
from common.llms.embeddings.base import Vector
from common.llms.embeddings.endpoint_embeddings import EndpointEmbeddings
from common.llms.embeddings.kept_vectors import encoded_once
from common.llms.messages import ChatMessage

_API = OpenAIEmbeddingsApi()
_ASKS_FOR_TEXTS = re.compile(r"(missing|required)[^.]*\binput\b|\binput\b[^.]*(missing|required|provided)", re.I)
"""In the error of a server that takes texts alone."""


class OpenAIEmbeddings(EndpointEmbeddings):
    """Asks `model` for embeddings at an endpoint that speaks OpenAI's embeddings API.

    Where it is, its key, waits, failures and retries are as with `OpenAILLM`. The texts of one call are sent in
    requests of at most `batch_size`; one that the endpoint never answers, such as one with a text that is too long,
    fails the whole call.

    A whole conversation is sent as `messages`, as vLLM's server takes them, which applies the model's chat template.
    Its options of templates and pooling stand in `extra_body`, such as `add_generation_prompt`.
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

    async def aencode_conversation(self, messages: Sequence[ChatMessage]) -> Vector:
        """See `Embeddings`; one request.

        Raises:
            WrongSetup: the endpoint would answer no row.
            RequestRefused: it never answers this one, or takes no conversations.
            CallFailed, NotAnAnswer: it failed on this one.
        """
        request = self._conversation_request(messages)

        async def encode(_: Sequence[str]) -> Encoded:
            try:
                return await self._encoded(request, 1)
            except RequestRefused as error:
                if not _ASKS_FOR_TEXTS.search(str(error)):
                    raise
                raise RequestRefused(
                    f"{error} (a conversation was sent as messages, which vLLM's server takes and others do not)"
                ) from None

        if (questions := shared_questions(self._family, [request])) is None:
            return (await encode([])).vectors[0]
        (vector,) = await encoded_once(self.model_name, [""], questions, 1, encode)
        return vector

    def asks_conversation(self, messages: Sequence[ChatMessage]) -> tuple[Family, dict[str, Any]]:
        """What a call for a whole conversation would send, and to which model, without a call."""
        return self._family, self._conversation_request(messages)

    def _conversation_request(self, messages: Sequence[ChatMessage]) -> dict[str, Any]:
        return {**_API.conversation_request(self._model_there, messages, self._options_there), **self.extra_body}
