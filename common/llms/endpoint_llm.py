"""The common part of clients of language models at an endpoint: one way to ask them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from pydantic import Field, PrivateAttr, field_validator

from common.errors import RunError, UsageError
from common.llms.answers.request_key import Family
from common.llms.apis.api import Api
from common.llms.apis.chat_completions import ChatCompletions
from common.llms.base import LLM, ChatMessage, Generation
from common.llms.calls.calling import MALFORMED, FormRefused, RequestRefused
from common.llms.endpoint_client import EndpointClient
from common.llms.metering import note_answer
from common.llms.providers import PROVIDERS
from common.llms.requests import Requests, Spelling
from common.llms.structured.constraints import DIALECTS, text_of_tool
from common.llms.structured.structured_output import StructuredOutput
from common.llms.structured.told_form import ToldForm
from common.parameters.runtime_parameters import RuntimeOption
from common.words.faults import hint

_OURS = {
    "model": "set model instead, beside generation_kwargs",
    "messages": "the template makes them",
    "n": "set the step's num_generations",
    "stream": "set stream instead, beside generation_kwargs",
}
"""Options of a call that generation_kwargs cannot set, and what to do instead."""


class EndpointLLM(EndpointClient, LLM):
    """A model at an endpoint: see `OpenAILLM` for what all have in common."""

    stream: RuntimeOption[bool] = Field(
        default=False, description="Receive answers in pieces, which keeps long calls alive behind proxies."
    )

    structured_output: StructuredOutput | None = Field(
        default=None,
        description="The form of the answers: {format: json, regex, grammar or choice; schema: ...}; each is checked.",
    )

    _requests: Requests | None = PrivateAttr(default=None)
    _has_form_of_a_row: bool = PrivateAttr(default=False)

    @property
    @abstractmethod
    def _api(self) -> Api:
        """The API that the endpoint speaks."""

    @field_validator("generation_kwargs")
    @classmethod
    def _leaves_ours_alone(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name in options:
            if name in _OURS:
                raise ValueError(f"generation_kwargs cannot set '{name}': {_OURS[name]}")
        return options

    @property
    def answer_form(self) -> StructuredOutput | None:
        return self.structured_output

    def load(self) -> None:
        """Checks the options and the key.

        Raises:
            UsageError: an option that the API does not have, or a provider without a key.
        """
        known = self._api.options
        for name in self.generation_kwargs:
            if name not in known and name not in self._api.spellings:
                raise UsageError(
                    f"generation_kwargs: the API has no option '{name}'{hint(name, known, '')}; put "
                    f"options that only your endpoint knows under extra_body: {{extra_body: {{{name}: ...}}}}"
                )
        self._checked_form()
        self._check_key()

    def _checked_form(self) -> ToldForm:
        """The form as the endpoint is told it. Raises UsageError: it cannot be told."""
        grammars = sorted(name for name, each in PROVIDERS.items() if "grammar" in DIALECTS.get(each.dialect, ()))
        told = ToldForm.of(self.structured_output, self._dialect)
        told.check(self.generation_kwargs, self.endpoint, grammars)
        return told

    def with_form(self, form: StructuredOutput) -> Self:
        """The same client, open as it is, whose answers have the form that a row asks for.

        If the endpoint does not take the form, only the row fails.

        Raises:
            UsageError: the endpoint cannot be told the form.
        """
        other = self.model_copy(update={"structured_output": form})
        other._requests = other._requests_for(other._checked_form())
        other._has_form_of_a_row = True
        return other

    async def aload(self) -> None:
        """Opens the client; connections follow with the first calls."""
        await self._open_at(self._request_url, self._api.error, self._api.assembled, streams=self.stream)
        self._requests = self._requests_for(ToldForm.of(self.structured_output, self._dialect))

    async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
        """See `LLM`; the options are those of the API.

        Raises:
            WrongSetup: the endpoint would answer no row.
            RequestRefused: it never answers this one.
            CallFailed, NotAnAnswer: it failed on this one.
        """
        endpoint, requests = self._open, self._requests
        if endpoint is None or requests is None:
            raise RunError(f"the client of model '{self.model_name}' is not open: await aload() before agenerate()")
        try:
            answered = await endpoint.answer(requests.family, self._body(requests, messages, kwargs))
        except FormRefused as error:
            if self._has_form_of_a_row:
                raise RequestRefused(str(error)) from None
            raise
        try:
            answer = requests.api.generation(answered.reply)
        except MALFORMED as error:
            answered.reject()
            note_answer(self.model_name, None, answered.cached or "now")
            raise self._not_an_answer(answered.reply, error, "base_url; it usually ends in /v1") from None
        note_answer(self.model_name, answer, answered.cached or "now")
        if answered.cached:
            answer = replace(answer, cached=answered.cached)
        if requests.told.form and (given := text_of_tool(answer.tool_calls)) is not None:
            return replace(answer, text=given, tool_calls=None)
        return answer

    def _body(self, requests: Requests, messages: list[ChatMessage], options: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return requests.body(messages, options)
        except ValueError as error:
            raise RequestRefused(f"{self.endpoint} cannot be asked: {error}") from None

    def stated(self, messages: list[ChatMessage]) -> list[ChatMessage]:
        """The conversation as it is sent: with the form in words, if the model learns it from nowhere else."""
        return ToldForm.of(self.structured_output, self._dialect).stated(messages)

    def asks(self, messages: list[ChatMessage]) -> tuple[Family, dict[str, Any]]:
        """What a call would send, and to which model, without a call: the client need not be open.

        Raises:
            RequestRefused: the API cannot carry such messages.
        """
        requests = self._requests_for(ToldForm.of(self.structured_output, self._dialect))
        return requests.family, self._body(requests, messages, {})

    def _requests_for(self, told: ToldForm) -> Requests:
        provider = self._provider
        return Requests.of(
            self._api,
            Family(self._api.path, self.model_name, self.endpoint_identity or ""),
            self._model_there,
            told,
            Spelling(provider.renames if isinstance(self._api, ChatCompletions) else {}, frozenset(provider.omits)),
            {**({"stream": True} if self.stream else {}), **self._defaults, **self.generation_kwargs},
        )

    @property
    def _dialect(self) -> str:
        """How requests say the form of an answer: a key of `DIALECTS`."""
        return self._provider.dialect if isinstance(self._api, ChatCompletions) else ""

    @property
    def _defaults(self) -> Mapping[str, Any]:
        """Options of a call that fields beside generation_kwargs set, under the names of the API."""
        return {}

    @property
    def _request_url(self) -> str:
        """Where requests go, without user and password."""
        return self._url_without_password.rstrip("/") + self._api.path

    def _headers_of(self, key: str) -> dict[str, str]:
        """The headers that carry the key."""
        return self._api.headers(key)
