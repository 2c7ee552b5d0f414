"""The common part of clients of models at an endpoint: where it is, its key, its timeouts, and one way to ask it."""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator

from common.errors import RunError, UsageError
from common.llms.apis.api import Api
from common.llms.apis.chat_completions import ChatCompletions
from common.llms.base import LLM, ChatMessage, Generation
from common.llms.calls.calling import Address, Endpoint, NotAnAnswer, RequestRefused
from common.llms.calls.transport import Timeouts
from common.llms.metering import note_answer
from common.llms.providers import PROVIDERS, Provider, provider_at
from common.llms.structured.constraints import DIALECTS, text_of_tool
from common.llms.structured.structured_output import StructuredOutput
from common.llms.structured.told_form import ToldForm
from common.parameters.runtime_parameters import RuntimeOption, RuntimeParameter
from common.words.faults import hint

_NO_KEY = "no-key"
_SHOWN_CHARACTERS = 500
_OURS = {
    "model": "set model instead, beside generation_kwargs",
    "messages": "the template makes them",
    "n": "set the step's num_generations",
    "stream": "set stream instead, beside generation_kwargs",
}
"""Options of a call that generation_kwargs cannot set, and what to do instead."""


class EndpointLLM(LLM):
    """A model at an endpoint: see `OpenAILLM` for what all have in common."""

    model: str = Field(min_length=1, description="The model's name at the endpoint.")
    base_url: RuntimeParameter[str] = Field(
        default=None, description="The endpoint, up to and including /v1; default: that of the provider."
    )
    provider: RuntimeParameter[str] = Field(
        default=None, description="A well-known endpoint by its name, such as groq or vllm: URL and key variable."
    )
    endpoint_identity: RuntimeParameter[str] = Field(
        default=None,
        description="Your own name for the endpoint, if two endpoints serve different models under one name.",
    )
    api_key: SecretStr | None = Field(
        default=None, exclude=True, description="For use in Python; omitted from every dump. Otherwise see api_key_env."
    )
    api_key_env: RuntimeParameter[str] = Field(
        default=None, description="Environment variable with the key; default: the one of the provider's documents."
    )
    default_headers: RuntimeOption[dict[str, str]] = Field(
        default_factory=dict, description="Headers of each request, such as those that a gateway wants."
    )
    timeout: RuntimeParameter[float] = Field(
        default=None,
        gt=0,
        description="Most seconds of a whole call; by default a call that proceeds may take any time.",
    )
    connect_timeout: RuntimeOption[float] = Field(default=10.0, gt=0, description="Seconds until a connection stands.")
    first_byte_timeout: RuntimeOption[float] = Field(
        default=600.0, gt=0, description="Seconds until the answer begins; without `stream`, until it is complete."
    )
    idle_timeout: RuntimeOption[float] = Field(
        default=120.0, gt=0, description="Most seconds between two pieces of an answer that has begun."
    )
    stream: RuntimeOption[bool] = Field(
        default=False, description="Receive answers in pieces, which keeps long calls alive behind proxies."
    )
    max_retries: RuntimeOption[int] = Field(
        default=0, ge=0, description="Retries of one failed call, in addition to the step's `retries`."
    )

    structured_output: StructuredOutput | None = Field(
        default=None,
        description="The form of the answers: {format: json, regex, grammar or choice; schema: ...}; each is checked.",
    )

    final_errors = (RequestRefused,)
    default_provider: ClassVar[str] = "openai"
    url_env: ClassVar[str] = ""
    """Environment variable with the base URL, by the provider's documents."""
    accepted_names: ClassVar[Mapping[str, str]] = {}
    """Parameter of distilabel's class -> its name here."""

    _open: Endpoint | None = PrivateAttr(default=None)
    _told: ToldForm = PrivateAttr(default=ToldForm(None))

    @property
    @abstractmethod
    def _api(self) -> Api:
        """The API that the endpoint speaks."""

    @model_validator(mode="before")
    @classmethod
    def _under_our_names(cls, given: Any) -> Any:
        names = cls.accepted_names
        return {names.get(name, name): value for name, value in given.items()} if isinstance(given, dict) else given

    @field_validator("base_url")
    @classmethod
    def _is_a_url(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"https?://[^/]", url):
            raise ValueError("base_url must be a URL, for example http://127.0.0.1:8000/v1")
        return url

    @field_validator("provider")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None and name not in PROVIDERS:
            raise ValueError(f"no provider '{name}'{hint(name, PROVIDERS, 'there are')}; for another one, set base_url")
        return name

    @field_validator("generation_kwargs")
    @classmethod
    def _leaves_ours_alone(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name in options:
            if name in _OURS:
                raise ValueError(f"generation_kwargs cannot set '{name}': {_OURS[name]}")
        return options

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def model_identity(self) -> str:
        return f"{self.model} of {self.endpoint_identity}" if self.endpoint_identity else self.model

    @property
    def answer_form(self) -> StructuredOutput | None:
        return self.structured_output

    @property
    def served_at(self) -> str:
        return self.endpoint.rstrip("/")

    @property
    def endpoint(self) -> str:
        """The endpoint for messages, without user and password."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if self._url else ""

    def check_here(self) -> None:
        """Raises as `load`."""
        self.load()

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
        grammars = sorted(name for name, each in PROVIDERS.items() if "grammar" in DIALECTS.get(each.dialect, ()))
        ToldForm.of(self.structured_output, self._dialect).check(self.generation_kwargs, self.endpoint, grammars)
        if self._provider.needs_key and not self._key:
            raise UsageError(
                f"model '{self.model_name}' at {self.endpoint} needs a key: set the environment variable "
                f"{self._key_name} on the worker's host, or set base_url to another endpoint"
            )

    async def aload(self) -> None:
        """Opens the client; connections follow with the first calls."""
        self._told = ToldForm.of(self.structured_output, self._dialect)
        address = Address(
            url=self._request_url,
            shown=self.endpoint.rstrip("/"),
            model=self.model_name,
            key_name=self._key_name,
            has_key=bool(self._key),
            headers={"content-type": "application/json", **self._authorization, **self.default_headers},
            rules=self._provider.rules,
            secrets=self._secrets(),
        )
        limits = Timeouts(self.connect_timeout, self.first_byte_timeout, self.idle_timeout, self.timeout)
        self._open = Endpoint(address, limits, self._api.error, self._api.assembled if self.stream else None)
        await self._open.open()

    async def aunload(self) -> None:
        if self._open is not None:
            await self._open.close()
            self._open = None

    async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
        """See `LLM`; the options are those of the API.

        Raises:
            WrongSetup: the endpoint would answer no row.
            RequestRefused: it never answers this one.
            CallFailed, NotAnAnswer: it failed on this one.
        """
        if self._open is None:
            raise RunError(f"the client of model '{self.model_name}' is not open: await aload() before agenerate()")
        reply = await self._open.ask(self._request(messages, kwargs))
        try:
            answer = self._api.generation(reply)
        except ValueError as error:
            note_answer(self.model_name, None)
            shown = self._hide_secrets(str(reply))[:_SHOWN_CHARACTERS]
            raise NotAnAnswer(
                f"{self.endpoint} answered model '{self.model_name}' with something that is not an answer of its API, "
                f"since {error} (check base_url; it usually ends in /v1): {shown}"
            ) from None
        note_answer(self.model_name, answer)
        if self._told.form and (given := text_of_tool(answer.tool_calls)) is not None:
            return replace(answer, text=given, tool_calls=None)
        return answer

    def _request(self, messages: list[ChatMessage], options: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a request.

        Raises:
            RequestRefused: the API cannot carry such messages.
        """
        try:
            request = self._api.request(self._model_there, self._told.stated(messages), self._renamed(options))
        except ValueError as error:
            raise RequestRefused(f"{self.endpoint} cannot be asked: {error}") from None
        return {name: value for name, value in request.items() if name not in self._provider.omits}

    def _renamed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a call under the names of the endpoint."""
        renamed: dict[str, Any] = {"stream": True} if self.stream else {}
        renames = self._provider.renames if isinstance(self._api, ChatCompletions) else {}
        for name, value in {**self._defaults, **self.generation_kwargs, **options}.items():
            usual = self._api.spellings.get(name, name)
            renamed[renames.get(usual, usual)] = value
        return self._told.added(renamed, self._api.options)

    @property
    def _dialect(self) -> str:
        """How requests say the form of an answer: a key of `DIALECTS`."""
        return self._provider.dialect if isinstance(self._api, ChatCompletions) else ""

    @property
    def _defaults(self) -> Mapping[str, Any]:
        """Options of a call that fields beside generation_kwargs set, under the names of the API."""
        return {}

    @property
    def _model_there(self) -> str:
        """The model's name in a request."""
        return self.model

    @property
    def _request_url(self) -> str:
        """Where requests go, without user and password."""
        return self._url_without_password.rstrip("/") + self._api.path

    def _hide_secrets(self, message: str) -> str:
        for secret in self._secrets():
            message = message.replace(secret, "***")
        return message

    def _secrets(self) -> list[str]:
        """The secrets of a request: the key, and the password of a URL, which is sent encoded instead of the key."""
        found = [self._key] if self._key else []
        parts = urlsplit(self._url)
        if parts.password:
            user, password = unquote(parts.username or ""), unquote(parts.password)
            found += [b64encode(f"{user}:{password}".encode()).decode(), parts.password, password]
        return found + [value for value in self.default_headers.values() if len(value) > 15]

    @property
    def _authorization(self) -> dict[str, str]:
        parts = urlsplit(self._url)
        if parts.username or parts.password:
            text = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
            return {"authorization": f"Basic {b64encode(text.encode()).decode()}"}
        return self._headers_of(self._key or _NO_KEY)

    def _headers_of(self, key: str) -> dict[str, str]:
        """The headers that carry the key."""
        return self._api.headers(key)

    @property
    def _url(self) -> str:
        named = PROVIDERS[self.provider].url if self.provider else ""
        from_environment = os.environ.get(self.url_env, "") if self.url_env and not self.provider else ""
        url = self.base_url or named or from_environment or PROVIDERS[self.default_provider].url
        known = provider_at(urlsplit(url).hostname)
        return known.url if known and urlsplit(url).path in ("", "/") else url

    @property
    def _url_without_password(self) -> str:
        parts = urlsplit(self._url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def _provider(self) -> Provider:
        if self.provider:
            return PROVIDERS[self.provider]
        if (found := provider_at(urlsplit(self._url).hostname)) is not None:
            return found
        named = PROVIDERS[self.default_provider]
        if self.default_provider == "openai":  # others speak its API, each in its own way
            return Provider("", named.key_env, needs_key=False)
        return replace(named, url="", needs_key=False)

    @property
    def _key_name(self) -> str:
        return self.api_key_env or self._provider.key_env

    @property
    def _key(self) -> str:
        key = self.api_key.get_secret_value() if self.api_key else os.environ.get(self._key_name, "")
        return key.strip()  # a line break that came with it from a file
