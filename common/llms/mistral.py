"""MistralLLM: models at Mistral."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from common.llms.openai import OpenAILLM
from common.parameters.runtime_parameters import RuntimeParameter


class MistralLLM(OpenAILLM):
    """`OpenAILLM` at Mistral; the key comes from MISTRAL_API_KEY. `endpoint` is another name of `base_url`."""

    _version: ClassVar[int] = 1

    max_concurrent_requests: RuntimeParameter[int] = Field(
        default=None, description="Accepted from distilabel, not used: the step bounds its calls in flight."
    )

    default_provider: ClassVar[str] = "mistral"
    url_env: ClassVar[str] = ""
    accepted_names: ClassVar[Mapping[str, str]] = {"endpoint": "base_url"}
