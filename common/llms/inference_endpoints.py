"""InferenceEndpointsLLM: models served by Hugging Face, by its router or on an Inference Endpoint of one's own."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import ClassVar, Self
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, model_validator

from common.errors import RunError, UsageError
from common.hub import hub_errors
from common.llms.apis.api import Api
from common.llms.apis.tgi_chat import TgiChat
from common.llms.endpoint_llm import EndpointLLM
from common.llms.providers import PROVIDERS, Provider
from common.parameters.runtime_parameters import RuntimeParameter

_CHAT = TgiChat()
_FORMER_HOST = "api-inference.huggingface.co"
"""Where the router was before, and where specs of distilabel may still point."""
_OWN_HOSTS = re.compile(r"(.+\.)?(huggingface\.(co|cloud)|hf\.space)")


class InferenceEndpointsLLM(EndpointLLM):
    """Calls a model that Hugging Face serves.

    `model_id` is a model of the hub, asked through the hub's router; `endpoint_name` is an Inference Endpoint, found by
    its name (and `endpoint_namespace`) when the worker starts; `base_url` is a server of Text Generation Inference
    anywhere. The token comes from HF_TOKEN, else from `huggingface-cli login`; the latter goes to no other host than
    Hugging Face's.

    An endpoint that is scaled to zero starts with the first request; rows wait meanwhile. One that is paused is not
    started. Everything else is as with `OpenAILLM`.
    """

    _version: ClassVar[int] = 1

    model: str = Field(default="", description="Another name of model_id.")
    model_id: RuntimeParameter[str] = Field(default=None, description="The model's name on the hub.")
    endpoint_name: RuntimeParameter[str] = Field(default=None, description="The name of an Inference Endpoint.")
    endpoint_namespace: RuntimeParameter[str] = Field(
        default=None, description="The user or organization that has the endpoint; default: that of the token."
    )
    tokenizer_id: RuntimeParameter[str] = Field(
        default=None, description="Accepted from distilabel, not used: the endpoint applies the model's chat template."
    )
    model_display_name: RuntimeParameter[str] = Field(
        default=None, description="The value of the dataset's column model_name; default: the name of the model."
    )

    default_provider: ClassVar[str] = "huggingface"

    _found_url: str = PrivateAttr(default="")
    _found_model: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _names_a_model(self) -> Self:
        if not (self.model_id or self.model or self.endpoint_name or self.base_url):
            raise ValueError("name a model: set model_id, or endpoint_name, or base_url")
        return self

    @property
    def model_name(self) -> str:
        return self.model_display_name or self._model or self.endpoint_name or self.served_at

    @property
    def model_identity(self) -> str:
        name = self._model or self.endpoint_name or self.model_name
        return f"{name} of {self.endpoint_identity}" if self.endpoint_identity else name

    @property
    def served_at(self) -> str:
        if self.endpoint_name and not self.base_url and not self._found_url:
            return f"Inference Endpoint {self._full_name}"
        return super().served_at

    def load(self) -> None:
        """See `EndpointLLM`. The name of an endpoint is looked up in `aload`."""
        if self.endpoint_name and not self.base_url and not self._key:
            raise UsageError(
                f"Inference Endpoint {self._full_name} needs a token: set the environment variable {self._key_name} on "
                "the worker's host"
            )
        super().load()

    async def aload(self) -> None:
        """See `EndpointLLM`.

        Raises:
            UsageError: there is no such endpoint, or it is paused or broken.
            HubError: the hub cannot be reached, or refuses the token.
        """
        if self.endpoint_name and not self.base_url:
            self._found_url, self._found_model = await asyncio.to_thread(self._look_up)
        await super().aload()

    def _look_up(self) -> tuple[str, str]:
        from huggingface_hub import get_inference_endpoint

        with hub_errors(f"Inference Endpoint {self._full_name} was not found"):
            endpoint = get_inference_endpoint(
                str(self.endpoint_name), namespace=self.endpoint_namespace, token=self._key or None
            )
        if endpoint.status in ("paused", "failed", "updateFailed"):
            raise UsageError(
                f"Inference Endpoint {self._full_name} answers nothing, since its status is '{endpoint.status}': start "
                f"it at https://endpoints.huggingface.co, then rerun the command to resume"
            )
        if not endpoint.url:
            raise RunError(
                f"Inference Endpoint {self._full_name} has no URL yet (status '{endpoint.status}'); rerun the command "
                "to resume once it has one"
            )
        return endpoint.url, endpoint.repository

    @property
    def _api(self) -> Api:
        return _CHAT

    @property
    def _model(self) -> str:
        return self.model_id or self.model

    @property
    def _model_there(self) -> str:
        return self._found_model or self._model or "tgi"

    @property
    def _full_name(self) -> str:
        return "/".join(filter(None, (self.endpoint_namespace, self.endpoint_name)))

    @property
    def _url(self) -> str:
        url = (self.base_url or self._found_url or super()._url).rstrip("/")
        if urlsplit(url).hostname == _FORMER_HOST:
            return PROVIDERS["huggingface"].url
        return url if re.search(r"/v\d+$", url) else f"{url}/v1"

    @property
    def _provider(self) -> Provider:
        found = super()._provider
        return found if found.url else replace(PROVIDERS["huggingface"], url="", needs_key=False, dialect="tgi")

    @property
    def _key(self) -> str:
        if (found := super()._key) or not self._is_at_the_hub:
            return found
        from huggingface_hub import get_token

        return get_token() or ""

    @property
    def _is_at_the_hub(self) -> bool:
        is_looked_up = bool(self.endpoint_name) and not self.base_url
        return is_looked_up or _OWN_HOSTS.fullmatch(urlsplit(self._url).hostname or "") is not None
