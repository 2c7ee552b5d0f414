"""List prices of models, as data, per million tokens: for text, in the standard tier, without surcharges.

Source: the price data of the packages genai-prices 0.2.3 and litellm 1.110.2, which follow the providers' price pages.
Where both have a model that is still served and they differ, it is left out. Models that are gone keep their last
price, since old runs show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from common.protocol.usage import Counts

MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens.

    Args:
        input: of the prompt.
        output: of the answer, its reasoning included.
        cached: of the prompt's tokens that the endpoint had in its cache; None for the price of any other.
    """

    input: float
    output: float
    cached: float | None = None

    @property
    def is_free(self) -> bool:
        """Whether it costs nothing, however many tokens there were."""
        return not (self.input or self.output or self.cached)

    def of(self, counts: Counts) -> float:
        """Dollars, for the tokens that are known."""
        cached = self.input if self.cached is None else self.cached
        whole = counts.input_tokens - counts.cached_tokens
        return (whole * self.input + counts.cached_tokens * cached + counts.output_tokens * self.output) / MILLION


AS_OF: Final = "2026-11"
"""Month of the table."""

TABLE: Final[Mapping[str, Price]] = {
    "echo": Price(0, 0, 0),
    # OpenAI, prompts of at most 272,000 tokens
    "gpt-3.5-turbo": Price(0.5, 1.5),
    "gpt-4": Price(30, 60),
    "gpt-4-turbo": Price(10, 30),
    "gpt-4o": Price(2.5, 10, 1.25),
    "gpt-4o-2024-05-13": Price(5, 15),
    "gpt-4o-mini": Price(0.15, 0.6, 0.075),
    "gpt-4.1": Price(2, 8, 0.5),
    "gpt-4.1-mini": Price(0.4, 1.6, 0.1),
    "gpt-4.1-nano": Price(0.1, 0.4, 0.025),
    "gpt-5": Price(1.25, 10, 0.125),
    "gpt-5-chat": Price(1.25, 10, 0.125),
    "gpt-5-mini": Price(0.25, 2, 0.025),
    "gpt-5-nano": Price(0.05, 0.4, 0.005),
    "gpt-5-pro": Price(15, 120),
    "gpt-5.1": Price(1.25, 10, 0.125),
    "gpt-5.1-chat": Price(1.25, 10, 0.125),
    "gpt-5.2": Price(1.75, 14, 0.175),
    "gpt-5.2-chat": Price(1.75, 14, 0.175),
    "gpt-5.2-pro": Price(21, 168),
    "gpt-5.3-chat": Price(1.75, 14, 0.175),
    "gpt-5.4": Price(2.5, 15, 0.25),
    "gpt-5.4-mini": Price(0.75, 4.5, 0.075),
    "gpt-5.4-nano": Price(0.2, 1.25, 0.02),
    "gpt-5.4-pro": Price(30, 180),
    "gpt-5.5": Price(5, 30, 0.5),
    "gpt-5.5-pro": Price(30, 180),
    "gpt-5.6-luna": Price(0.2, 1.2, 0.02),
    "gpt-5.6-sol": Price(4, 20, 0.4),
    "gpt-5.6-terra": Price(2, 12, 0.2),
    "gpt-6-astra": Price(10, 50, 1),
    "gpt-6-luna": Price(0.1, 0.5, 0.01),
    "gpt-6-sol": Price(2, 10, 0.2),
    "gpt-6.1-sol": Price(2, 10, 0.1),
    "gpt-6.1-terra": Price(1, 5, 0.05),
    "o1": Price(15, 60, 7.5),
    "o1-pro": Price(150, 600),
    "o3": Price(2, 8, 0.5),
    "o3-mini": Price(1.1, 4.4, 0.55),
    "o3-pro": Price(20, 80),
    "o4-mini": Price(1.1, 4.4, 0.275),
    "text-embedding-3-small": Price(0.02, 0),
    "text-embedding-3-large": Price(0.13, 0),
    "text-embedding-ada-002": Price(0.1, 0),
    # Anthropic
    "claude-3-haiku": Price(0.25, 1.25, 0.03),
    "claude-3-opus": Price(15, 75, 1.5),
    "claude-3-5-haiku": Price(0.8, 4, 0.08),
    "claude-3-5-sonnet": Price(3, 15, 0.3),
    "claude-3-7-sonnet": Price(3, 15, 0.3),
    "claude-sonnet-4": Price(3, 15, 0.3),
    "claude-sonnet-4-0": Price(3, 15, 0.3),
    "claude-sonnet-4-5": Price(3, 15, 0.3),
    "claude-sonnet-4-6": Price(3, 15, 0.3),
    "claude-sonnet-5": Price(2, 10, 0.2),
    "claude-sonnet-5-5": Price(2, 10, 0.1),
    "claude-haiku-4-5": Price(1, 5, 0.1),
    "claude-haiku-5-5": Price(0.1, 0.5, 0.01),
    "claude-opus-4": Price(15, 75, 1.5),
    "claude-opus-4-0": Price(15, 75, 1.5),
    "claude-opus-4-1": Price(15, 75, 1.5),
    "claude-opus-4-5": Price(5, 25, 0.5),
    "claude-opus-4-6": Price(5, 25, 0.5),
    "claude-opus-4-7": Price(5, 25, 0.5),
    "claude-opus-4-8": Price(5, 25, 0.5),
    "claude-opus-5": Price(5, 25, 0.5),
    "claude-opus-5-5": Price(4, 20, 0.2),
    "claude-fable-5": Price(10, 50, 1),
    "claude-fable-5-1": Price(10, 50, 0.25),
    "claude-fable-5-2": Price(8, 40, 0.2),
    # Google, prompts of at most 200,000 tokens
    "gemini-2.0-flash": Price(0.1, 0.4, 0.025),
    "gemini-2.0-flash-lite": Price(0.075, 0.3),
    "gemini-2.5-flash": Price(0.3, 2.5, 0.03),
    "gemini-2.5-flash-lite": Price(0.1, 0.4, 0.01),
    "gemini-2.5-pro": Price(1.25, 10, 0.125),
    "gemini-3-flash-preview": Price(0.5, 3, 0.05),
    "gemini-3-pro-preview": Price(2, 12, 0.2),
    "gemini-3.1-flash-lite": Price(0.25, 1.5, 0.025),
    "gemini-3.1-pro-preview": Price(2, 12, 0.2),
    "gemini-3.5-flash": Price(1.5, 9, 0.15),
    "gemini-3.5-flash-lite": Price(0.3, 2.5, 0.03),
    "gemini-3.6-flash": Price(0.75, 3.75, 0.075),
    "gemini-3.7-flash": Price(0.75, 3.75, 0.075),
    "gemini-3.8-flash": Price(0.75, 3.75, 0.075),
    "gemini-4-argon": Price(2, 10, 0.1),
    "gemini-embedding-001": Price(0.15, 0),
    "gemini-embedding-2": Price(0.2, 0),
    # Mistral
    "codestral-2508": Price(0.3, 0.9, 0.03),
    "ministral-3b-2512": Price(0.1, 0.1, 0.01),
    "ministral-8b-2512": Price(0.15, 0.15, 0.015),
    "ministral-8b-latest": Price(0.15, 0.15, 0.015),
    "ministral-14b-2512": Price(0.2, 0.2, 0.02),
    "mistral-embed": Price(0.1, 0),
    "mistral-large-2512": Price(0.5, 1.5, 0.05),
    "mistral-large-4": Price(0.7, 2.1, 0.07),
    "mistral-medium-3-5": Price(1.5, 7.5, 0.15),
    "mistral-medium-latest": Price(1.5, 7.5, 0.15),
    "mistral-small-2603": Price(0.15, 0.6, 0.015),
    "mistral-small-latest": Price(0.15, 0.6, 0.015),
    # DeepSeek, at its dear hours; others cost half
    "deepseek-flash": Price(0.3, 1.2, 0.006),
    "deepseek-v4-flash": Price(0.3, 1.2, 0.006),
    "deepseek-v4-pro": Price(1.32, 3.96, 0.044),
    # xAI, prompts of at most 200,000 tokens
    "grok-3": Price(3, 15, 0.75),
    "grok-3-mini": Price(0.3, 0.5, 0.075),
    "grok-4-0709": Price(3, 15, 0.75),
    "grok-4.20": Price(1.25, 2.5, 0.2),
    "grok-4.3": Price(1.25, 2.5, 0.2),
    "grok-4.5": Price(2, 6, 0.3),
    "grok-4.6": Price(2, 6, 0.5),
    "grok-4.7": Price(2, 6, 0.5),
}
"""Only names that mean one model wherever it is served."""

HOSTED: Final[Mapping[str, Mapping[str, Price]]] = {
    "groq": {
        "llama-3.1-8b-instant": Price(0.05, 0.08),
        "llama-3.3-70b-versatile": Price(0.59, 0.79),
        "meta-llama/llama-4-maverick-17b-128e-instruct": Price(0.2, 0.6),
        "meta-llama/llama-4-scout-17b-16e-instruct": Price(0.11, 0.34),
        "moonshotai/kimi-k2-instruct": Price(1, 3, 0.5),
        "openai/gpt-oss-120b": Price(0.15, 0.6, 0.075),
        "openai/gpt-oss-20b": Price(0.075, 0.3, 0.0375),
        "qwen/qwen3-32b": Price(0.29, 0.59),
        "qwen/qwen3.8-27b": Price(0.8, 4),
    },
    "together": {
        "MiniMaxAI/MiniMax-M3": Price(0.3, 1.2, 0.06),
        "MiniMaxAI/MiniMax-M3.1-Flash": Price(0.15, 0.6, 0.015),
        "Qwen/Qwen3.5-9B": Price(0.17, 0.25),
        "Qwen/Qwen3.6-Plus": Price(0.5, 3),
        "Qwen/Qwen3.7-Max": Price(2.5, 7.5, 0.5),
        "Qwen/Qwen3.7-Plus": Price(0.32, 1.28),
        "Qwen/Qwen3.8-Flash": Price(0.15, 0.47),
        "deepseek-ai/DeepSeek-V4-Pro-0813": Price(1.32, 3.96, 0.13),
        "deepseek-ai/DeepSeek-V4.1-Flash": Price(0.3, 1.2, 0.006),
        "meta-llama/Llama-4-Scout-17B-16E-Instruct": Price(0.18, 0.59),
        "meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo": Price(0.88, 0.88),
        "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo": Price(0.18, 0.18),
        "meta-models/Muse-Glimmer-30B": Price(0.35, 1.5, 0.04),
        "moonshotai/Kimi-K3": Price(3, 15, 0.3),
        "moonshotai/Kimi-K3.1-Pro": Price(2, 10, 0.2),
        "openai/gpt-oss-120b": Price(0.15, 0.6),
        "zai-org/GLM-5.2": Price(1.4, 4.4, 0.26),
        "zai-org/GLM-5.3": Price(1.4, 4.4, 0.26),
        "zai-org/GLM-5.3-Flash": Price(0.15, 0.5, 0.03),
    },
}
"""Provider -> model -> price, for open models: each host sets its own."""
