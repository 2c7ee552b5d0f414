"""TogetherLLM: models at Together AI."""

from __future__ import annotations

from typing import ClassVar

from common.llms.openai import OpenAILLM


class TogetherLLM(OpenAILLM):
    """`OpenAILLM` at Together AI, or at TOGETHER_BASE_URL; the key comes from TOGETHER_API_KEY."""

    _version: ClassVar[int] = 1

    default_provider: ClassVar[str] = "together"
    url_env: ClassVar[str] = "TOGETHER_BASE_URL"
