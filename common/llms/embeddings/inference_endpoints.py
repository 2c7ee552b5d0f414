"""InferenceEndpointsEmbeddings: embedding models served by Hugging Face, or by Text Embeddings Inference anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self
from urllib.parse import quote

from pydantic import Field, model_validator

from common.llms.apis.embeddings import EmbeddingsApi, FeatureExtraction
from common.llms.embeddings.endpoint_embeddings import EndpointEmbeddings
from common.llms.providers import PROVIDERS, Provider
from common.parameters.runtime_parameters import RuntimeOption, RuntimeParameter

_API = FeatureExtraction()
_ROUTER = "https://router.huggingface.co/hf-inference/models/{model}/pipeline/feature-extraction"


class InferenceEndpointsEmbeddings(EndpointEmbeddings):
    """Asks for embeddings of a model that Hugging Face serves.

    `model_id` is a model of the hub, asked through the hub's router; `base_url` is an Inference Endpoint, or a server
    of Text Embeddings Inference anywhere. The token comes from HF_TOKEN. These servers do not report tokens.

    Everything else is as with `OpenAIEmbeddings`.
    """

    _version: ClassVar[int] = 1

    model: str = Field(default="", description="Another name of model_id.")
    model_id: RuntimeParameter[str] = Field(default=None, description="The model's name on the hub.")
    batch_size: RuntimeOption[int] = Field(
        default=32, ge=1, description="Most texts of one request; by default what servers take that are not told more."
    )
    normalize: bool | None = Field(default=None, description="Vectors of length 1; default: what the server does.")
    truncate: bool | None = Field(default=None, description="Cut texts that are too long, instead of refusing them.")
    prompt_name: str | None = Field(default=None, description="The model's own prompt to put before each text.")

    default_provider: ClassVar[str] = "huggingface"

    @model_validator(mode="after")
    def _names_a_model(self) -> Self:
        if not (self.model_id or self.model or self.base_url):
            raise ValueError("name a model: set model_id, or base_url")
        return self

    @property
    def model_name(self) -> str:
        return self.model_id or self.model or self.served_at

    @property
    def model_identity(self) -> str:
        return f"{self.model_name} of {self.endpoint_identity}" if self.endpoint_identity else self.model_name

    @property
    def _api(self) -> EmbeddingsApi:
        return _API

    @property
    def _url(self) -> str:
        return self.base_url or _ROUTER.format(model=quote(self.model_id or self.model))

    @property
    def _provider(self) -> Provider:
        found = PROVIDERS["huggingface"]
        return replace(found, url="", needs_key=False) if self.base_url else found

    @property
    def _options(self) -> Mapping[str, Any]:
        given = {"normalize": self.normalize, "truncate": self.truncate, "prompt_name": self.prompt_name}
        return {name: value for name, value in given.items() if value is not None}
