"""OpenAILLM: any endpoint that speaks OpenAI's chat completions (OpenAI, vLLM, llama.cpp, Ollama, gateways...)."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote, urlsplit

from pydantic import Field, PrivateAttr, SecretStr, field_validator

from common.errors import RowError, RunError, UsageError
from common.llms.base import LLM, ChatMessage, Generation
from common.parameters.runtime_parameters import RuntimeOption, RuntimeParameter
from common.words.faults import hint

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

_OPENAI_URL = "https://api.openai.com/v1"
_NO_KEY = "no-key"
_CONNECT_TIMEOUT = 10.0
_SHOWN_CHARACTERS = 500
_OURS = {
    "model": "set model instead, beside generation_kwargs",
    "messages": "the template makes them",
    "n": "set the step's num_generations",
    "stream": "answers are not streamed",
}
"""Options of a call that generation_kwargs cannot set, and what to do instead."""
_USUAL = frozenset(
    {"temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "extra_body", "response_format"}
)
"""Options that every version of the client has."""

_OF_THE_REQUEST = (400, 413, 422)
"""Statuses that mean an invalid request. Others (401, 404) may come from a gateway that is being changed."""


class RequestRefused(RowError):
    """The endpoint will never answer this request: it is too long, or has an invalid option."""


class OpenAILLM(LLM):
    """Calls `model` at an endpoint that speaks OpenAI's chat completions API.

    The key comes from the worker's environment (`api_key_env`), never from a spec; an endpoint that is not
    OpenAI's may need none. The client itself waits and retries, `max_retries` times, if the endpoint is busy or away
    (429, 5xx, no connection; it respects Retry-After). The step's `retries` come on top of that.
    """

    _version: ClassVar[int] = 1

    model: str = Field(min_length=1, description="The model's name at the endpoint.")
    base_url: RuntimeParameter[str] = Field(
        default=None, description="The endpoint, up to and including /v1; default: OPENAI_BASE_URL, else OpenAI itself."
    )
    endpoint_identity: RuntimeParameter[str] = Field(
        default=None,
        description="Your own name for the endpoint, if two endpoints serve different models under one name.",
    )
    api_key: SecretStr | None = Field(
        default=None, exclude=True, description="For use in Python; omitted from every dump. Otherwise see api_key_env."
    )
    api_key_env: RuntimeOption[str] = Field(default="OPENAI_API_KEY", description="Environment variable with the key.")
    timeout: RuntimeOption[float] = Field(
        default=120.0, gt=0, description="Seconds that one attempt waits for an answer."
    )
    max_retries: RuntimeOption[int] = Field(default=2, ge=0, description="Retries of the client at a busy endpoint.")

    final_errors = (RequestRefused,)

    _client: AsyncOpenAI | None = PrivateAttr(default=None)

    @field_validator("base_url")
    @classmethod
    def _is_a_url(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"https?://[^/]", url):
            raise ValueError("base_url must be a URL, for example http://127.0.0.1:8000/v1")
        return url

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
    def served_at(self) -> str:
        return self.endpoint.rstrip("/")

    @property
    def endpoint(self) -> str:
        """The endpoint for messages, without user and password."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def check_here(self) -> None:
        """Imports the client only if an option is not a common one. Raises as `load`."""
        if not self.generation_kwargs.keys() <= _USUAL:
            self._check_options()
        self._check_key()

    def load(self) -> None:
        """Imports the client and checks the options and the key.

        Raises:
            UsageError: an option unknown to the client, or OpenAI's own endpoint without a key.
        """
        self._check_options()
        self._check_key()

    def _check_options(self) -> None:
        from inspect import signature

        from openai.resources.chat.completions import AsyncCompletions

        known = set(signature(AsyncCompletions.create).parameters)
        for name in self.generation_kwargs:
            if name not in known:
                raise UsageError(
                    f"generation_kwargs: the chat completions API has no option '{name}'{hint(name, known, '')}; put "
                    f"options that only your endpoint knows under extra_body: {{extra_body: {{{name}: ...}}}}"
                )

    def _check_key(self) -> None:
        if not self._key and f".{urlsplit(self._url).hostname}".endswith(".openai.com"):
            raise UsageError(
                f"model '{self.model}' at {self.endpoint} needs a key: set the environment variable {self.api_key_env} "
                "on the worker's host, or set base_url to another endpoint"
            )

    async def aload(self) -> None:
        from openai import DEFAULT_CONNECTION_LIMITS, AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

        # By its type, since versions of the client use different HTTP packages.
        unlimited = type(DEFAULT_CONNECTION_LIMITS)(max_connections=None, max_keepalive_connections=None)
        self._client = AsyncOpenAI(
            api_key=self._key or _NO_KEY,
            base_url=self._url,
            max_retries=self.max_retries,
            timeout=Timeout(self.timeout, connect=min(self.timeout, _CONNECT_TIMEOUT)),
            # The step bounds what is in flight (concurrency x num_generations); a limit here would only queue it.
            http_client=DefaultAsyncHttpxClient(limits=unlimited),
        )

    async def aunload(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
        from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

        if self._client is None:
            raise RunError(f"the client of model '{self.model}' is not open: await aload() before agenerate()")
        create: Any = self._client.chat.completions.create
        try:
            completion = await create(model=self.model, messages=messages, **{**self.generation_kwargs, **kwargs})
        except APIStatusError as error:
            kind = RequestRefused if error.status_code in _OF_THE_REQUEST else RowError
            raise kind(self._explain(error)) from None
        except APITimeoutError:
            raise RowError(
                f"{self.endpoint} gave no answer of model '{self.model}' within {self.timeout:g} s "
                f"({self.max_retries + 1} attempts); for a slow model, raise timeout or lower concurrency"
            ) from None
        except APIConnectionError as error:
            why = error.__cause__ or error
            raise RowError(
                # The error about a key with a character that headers cannot have repeats the key.
                f"cannot reach {self.endpoint} for model '{self.model}': {type(why).__name__}: "
                f"{self._hide_key(str(why))}; "
                "check that the server is up and that base_url is right as seen from this host"
            ) from None
        except APIError as error:
            raise RowError(self._hide_key(f"{self.endpoint}, model '{self.model}': {error}")) from None
        return self._generation(completion)

    def _generation(self, completion: Any) -> Generation:
        choices = getattr(completion, "choices", None)
        if not choices:
            raise RowError(
                f"{self.endpoint} answered model '{self.model}' with something that is not a chat completion "
                f"(check base_url; it usually ends in /v1): {self._hide_key(str(completion))[:_SHOWN_CHARACTERS]}"
            )
        usage = completion.usage
        return Generation(
            text=choices[0].message.content,
            finish_reason=choices[0].finish_reason,
            input_tokens=usage.prompt_tokens if usage else None,
            output_tokens=usage.completion_tokens if usage else None,
        )

    def _explain(self, error: APIStatusError) -> str:
        status = error.status_code
        said = self._hide_key(error.message)[:_SHOWN_CHARACTERS]
        about = f"{self.endpoint} answered {status} for model '{self.model}'"
        if status in (401, 403):
            key = "was refused" if self._key else "is not set"
            return f"{about}: the key of the environment variable {self.api_key_env} {key}: {said}"
        if status == 404:
            return f"{about}: no such model, or base_url is wrong (it usually ends in /v1): {said}"
        return f"{about}: {said}"

    def _hide_key(self, message: str) -> str:
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
        return found

    @property
    def _url(self) -> str:
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI_URL

    @property
    def _key(self) -> str:
        key = self.api_key.get_secret_value() if self.api_key else os.environ.get(self.api_key_env, "")
        return key.strip()  # a line break that came with it from a file
