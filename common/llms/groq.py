"""GroqLLM: models at Groq."""

from __future__ import annotations

from typing import ClassVar

from common.llms.openai import OpenAILLM


class GroqLLM(OpenAILLM):
    """`OpenAILLM` at Groq, or at GROQ_BASE_URL; the key comes from GROQ_API_KEY."""

    _version: ClassVar[int] = 1

    default_provider: ClassVar[str] = "groq"
    url_env: ClassVar[str] = "GROQ_BASE_URL"
