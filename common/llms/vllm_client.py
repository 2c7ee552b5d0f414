"""ClientvLLM: a model that a vLLM server serves."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from common.llms.openai import OpenAILLM
from common.parameters.runtime_parameters import RuntimeParameter


class ClientvLLM(OpenAILLM):
    """`OpenAILLM` at a vLLM server: `base_url`, else port 8000 of this host; a key comes from VLLM_API_KEY."""

    _version: ClassVar[int] = 1

    tokenizer: RuntimeParameter[str] = Field(
        default=None, description="Accepted from distilabel, not used: the server applies the model's chat template."
    )
    tokenizer_revision: RuntimeParameter[str] = Field(default=None, description="Accepted from distilabel, not used.")

    default_provider: ClassVar[str] = "vllm"
    url_env: ClassVar[str] = ""
