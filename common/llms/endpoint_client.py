"""The common part of clients of models at an endpoint: where it is, its key, its timeouts, its connections."""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator

from common.errors import UsageError
from common.llms.calls.calling import Address, Endpoint, NotAnAnswer, RequestRefused
from common.llms.calls.transport import Timeouts
from common.llms.calls.verdicts import ErrorReply
from common.llms.model_client import ModelClient
from common.llms.providers import PROVIDERS, Provider, provider_at
from common.parameters.runtime_parameters import RuntimeOption, RuntimeParameter
from common.words.faults import hint

_NO_KEY = "no-key"
_SHOWN_CHARACTERS = 500
"""Of a reply, in a message."""


class EndpointClient(ModelClient):
    """A model at an endpoint, whatever it is asked for."""

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
    max_retries: RuntimeOption[int] = Field(
        default=0, ge=0, description="Retries of one failed call, in addition to the step's `retries`."
    )

    final_errors: ClassVar[tuple[type[Exception], ...]] = (RequestRefused,)
    default_provider: ClassVar[str] = "openai"
    url_env: ClassVar[str] = ""
    """Environment variable with the base URL, by the provider's documents."""
    accepted_names: ClassVar[Mapping[str, str]] = {}
    """Parameter of distilabel's class -> its name here."""

    _open: Endpoint | None = PrivateAttr(default=None)
    _provider_when_open: Provider | None = PrivateAttr(default=None)

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

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def model_identity(self) -> str:
        return f"{self.model} of {self.endpoint_identity}" if self.endpoint_identity else self.model

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

    def _check_key(self) -> None:
        """Raises UsageError for a provider without a key."""
        if self._provider.needs_key and not self._key:
            raise UsageError(
                f"model '{self.model_name}' at {self.endpoint} needs a key: set the environment variable "
                f"{self._key_name} on the worker's host, or set base_url to another endpoint"
            )

    async def _open_at(
        self,
        url: str,
        error_of: Callable[[Any], ErrorReply],
        assembled: Callable[[bytes], Any] | None = None,
        *,
        streams: bool = False,
    ) -> None:
        """Opens the client for requests to a URL; connections follow with the first calls. See `Endpoint`."""
        self._provider_when_open = self._provider
        address = Address(
            url=url,
            shown=self.endpoint.rstrip("/"),
            model=self.model_name,
            key_name=self._key_name,
            has_key=bool(self._key),
            headers={"content-type": "application/json", **self._authorization, **self.default_headers},
            rules=self._provider.rules,
            secrets=self._secrets(),
        )
        limits = Timeouts(self.connect_timeout, self.first_byte_timeout, self.idle_timeout, self.timeout)
        self._open = Endpoint(address, limits, error_of, assembled, self.max_retries, streams=streams)
        await self._open.open()

    def _not_an_answer(self, reply: Any, why: Exception, check: str = "base_url") -> NotAnAnswer:
        """The error of a reply that does not have the shape of its API.

        Args:
            check: what may be at fault.
        """
        shown = str(reply) if self._open is None else self._open.hidden(str(reply))
        return NotAnAnswer(
            f"{self.endpoint} answered model '{self.model_name}' with something that is not an answer of its API, "
            f"since {why} (check {check}): {shown[:_SHOWN_CHARACTERS]}"
        )

    async def aunload(self) -> None:
        """Closes all connections."""
        if self._open is not None:
            await self._open.close()
            self._open = self._provider_when_open = None

    @property
    def _model_there(self) -> str:
        """The model's name in a request."""
        return self.model

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

    @abstractmethod
    def _headers_of(self, key: str) -> dict[str, str]:
        """The headers that carry the key."""

    @property
    def _url(self) -> str:
        named = PROVIDERS[self.provider].url if self.provider else ""
        from_environment = os.environ.get(self.url_env, "") if self.url_env and not self.provider else ""
        url = self.base_url or named or from_environment or PROVIDERS[self.default_provider].url
        parts = urlsplit(url)
        if parts.path in ("", "/") and (known := provider_at(parts.hostname)):
            return parts._replace(path=urlsplit(known.url).path).geturl()
        return url

    @property
    def _url_without_password(self) -> str:
        parts = urlsplit(self._url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def _provider(self) -> Provider:
        """Whose endpoint it is; looked up once for all calls."""
        return self._provider_when_open or self._provider_of_url()

    def _provider_of_url(self) -> Provider:
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
