"""The common part of clients of embedding models at an endpoint: one way to ask them, in batches."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from common.errors import RunError
from common.llms.answers.request_key import Family
from common.llms.answers.row_answers import shared_questions
from common.llms.apis.chat_completions import ChatCompletions
from common.llms.apis.embeddings import EmbeddingsApi, Encoded
from common.llms.base import Generation
from common.llms.embeddings.base import Embeddings, Vector
from common.llms.embeddings.kept_vectors import encoded_once
from common.llms.endpoint_client import EndpointClient
from common.llms.messages import ChatMessage
from common.llms.metering import note_answer
from common.parameters.runtime_parameters import RuntimeOption

_CHAT = ChatCompletions()


class EndpointEmbeddings(EndpointClient, Embeddings):
    """An embedding model at an endpoint: see `OpenAIEmbeddings` for what all have in common."""

    batch_size: RuntimeOption[int] = Field(default=100, ge=1, description="Most texts of one request.")
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="Options of each request that only your endpoint knows."
    )

    @property
    @abstractmethod
    def _api(self) -> EmbeddingsApi:
        """The API that the endpoint speaks."""

    @property
    def _options(self) -> Mapping[str, Any]:
        """Options of each request that fields set."""
        return {}

    @property
    def _request_url(self) -> str:
        """Where requests go, without user and password."""
        return self._url_without_password.rstrip("/") + self._api.path

    def _headers_of(self, key: str) -> dict[str, str]:
        return _CHAT.headers(key)

    def load(self) -> None:
        """Checks the key.

        Raises:
            UsageError: a provider without a key.
        """
        self._check_key()

    async def aload(self) -> None:
        """Opens the client; connections follow with the first calls."""
        await self._open_at(self._request_url, _CHAT.error)

    def encode(self, inputs: Sequence[str]) -> list[Vector]:
        """See `Embeddings`. Opens the client for this call alone."""

        async def whole() -> list[Vector]:
            await self.aload()
            try:
                return await self.aencode(inputs)
            finally:
                await self.aunload()

        return asyncio.run(whole())

    async def aencode(self, inputs: Sequence[str]) -> list[Vector]:
        """See `Embeddings`; one request after the other, each of at most `batch_size` texts that have no kept vector.

        Raises:
            WrongSetup: the endpoint would answer no row.
            RequestRefused: it never answers this one.
            CallFailed, NotAnAnswer: it failed on this one.
        """
        requests = (self._request([text]) for text in inputs)
        if (questions := shared_questions(self._family, requests)) is not None:
            return await encoded_once(self.model_name, inputs, questions, self.batch_size, self._one_request)
        found: list[Vector] = []
        for first in range(0, len(inputs), self.batch_size):
            found += (await self._one_request(inputs[first : first + self.batch_size])).vectors
        return found

    def asks(self, messages: Sequence[ChatMessage]) -> tuple[Family, dict[str, Any]]:
        """What a call for the texts of messages would send, and to which model, without a call."""
        return self._family, self._request([str(message["content"]) for message in messages])

    def _request(self, inputs: Sequence[str]) -> dict[str, Any]:
        return {**self._api.request(self._model_there, inputs, self._options_there), **self.extra_body}

    @property
    def _options_there(self) -> dict[str, Any]:
        """The options by the names that the endpoint has for them."""
        renames = self._provider.renames
        return {renames.get(name, name): value for name, value in self._options.items()}

    @property
    def _family(self) -> Family:
        return Family(self._api.path or "feature-extraction", self.model_name, self.endpoint_identity or "")

    async def _one_request(self, inputs: Sequence[str]) -> Encoded:
        return await self._encoded(self._request(inputs), len(inputs))

    async def _encoded(self, request: Mapping[str, Any], number: int) -> Encoded:
        """Asks for so many vectors, and counts that."""
        if self._open is None:
            raise RunError(f"the client of model '{self.model_name}' is not open: await aload() before aencode()")
        reply = await self._open.ask(request)
        try:
            encoded = self._api.encoded(reply, number)
        except ValueError as error:
            note_answer(self.model_name, None)
            raise self._not_an_answer(reply, error) from None
        output = None if encoded.tokens is None else 0
        note_answer(self.model_name, Generation(None, input_tokens=encoded.tokens, output_tokens=output))
        return encoded
