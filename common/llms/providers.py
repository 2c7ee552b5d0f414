"""Well-known endpoints by name, as data: URL, variable with the key, and what each does in its own way.

Sources: the providers' pages about their OpenAI-compatible APIs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from common.llms.calls.verdicts import CREDIT, FORM, OPTION, Rule

_NO_RENAMES: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Provider:
    """An endpoint that many people use.

    Args:
        url: its base URL; empty if each user has one of their own.
        key_env: environment variable with the key, by the provider's own documents.
        needs_key: it answers nobody without one.
        renames: option of chat completions or of embeddings -> its name there.
        omits: fields of a request that it refuses, and that we would send.
        rules: lines for the table of classes.
        hosts: others at which it answers, such as those of its regions.
        dialect: how its chat completions are told the form of an answer, see `common.llms.structured.constraints`.
    """

    url: str
    key_env: str
    needs_key: bool = True
    renames: Mapping[str, str] = field(default_factory=lambda: _NO_RENAMES)
    omits: Sequence[str] = ()
    rules: Sequence[Rule] = ()
    hosts: Sequence[str] = ()
    dialect: str = "openai"


def _says(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider(
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        renames={"max_tokens": "max_completion_tokens"},
        hosts=("eu.api.openai.com", "us.api.openai.com"),
    ),
    "anthropic": Provider(
        "https://api.anthropic.com/v1",
        "ANTHROPIC_API_KEY",
        dialect="",  # its chat completions ignore response_format
        rules=(
            Rule("setup", (400, 400), _says(r"max_tokens: \d+ >|budget_tokens"), OPTION),
            Rule("setup", (400, 400), _says(r"output_(config|format)\b"), FORM),
            Rule(
                "setup", (400, 400), _says(r"request_error +\W?(temperature|top_[pk]|thinking|tool_choice)\b"), OPTION
            ),
            Rule("setup", (400, 400), _says("usage limits"), CREDIT),
        ),
    ),
    "cerebras": Provider("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "cohere": Provider(
        "https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY", omits=("stream_options",), hosts=("api.cohere.com",)
    ),
    "dashscope": Provider(
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
        hosts=("dashscope.aliyuncs.com", "dashscope-us.aliyuncs.com"),
    ),
    "deepinfra": Provider("https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY", dialect="json_object"),
    "deepseek": Provider(
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
        rules=(Rule("busy", (503, 503)), Rule("setup", (422, 422), None, OPTION)),
        dialect="json_object",
    ),
    "fireworks": Provider("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY", dialect="fireworks"),
    "gemini": Provider(
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        rules=(
            Rule("busy", (503, 503), _says("overloaded|unavailable|high demand")),
            # The words about quota and billing are the same for a limit per minute; a limit of 0 has no minute.
            Rule("setup", (429, 429), _says(r"limit: 0\b"), CREDIT),
            Rule("busy", (429, 429)),
        ),
    ),
    "groq": Provider(
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        omits=("stream_options",),  # it sends the tokens of a stream unasked
        rules=(
            Rule("busy", (498, 498)),
            # The model wrote a call of a tool wrongly: another sample may be right.
            Rule("fault", (400, 400), _says("tool_use_failed")),
        ),
    ),
    "huggingface": Provider(
        "https://router.huggingface.co/v1",
        "HF_TOKEN",
        # 503: an endpoint that starts, such as one that was scaled to zero. 424: TGI failed on this request.
        rules=(Rule("away", (502, 503)), Rule("fault", (424, 424))),
    ),
    "mistral": Provider(
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        renames={"seed": "random_seed", "max_completion_tokens": "max_tokens", "dimensions": "output_dimension"},
        omits=("stream_options",),
        hosts=("api.eu.mistral.ai", "api.us.mistral.ai"),
    ),
    "moonshot": Provider("https://api.moonshot.ai/v1", "MOONSHOT_API_KEY", hosts=("api.moonshot.cn",)),
    "nebius": Provider(
        "https://api.tokenfactory.nebius.com/v1",
        "NEBIUS_API_KEY",
        hosts=("api.studio.nebius.ai", "api.studio.nebius.com"),
    ),
    "nvidia": Provider("https://integrate.api.nvidia.com/v1", "NVIDIA_API_KEY"),
    "openrouter": Provider("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "perplexity": Provider("https://api.perplexity.ai", "PERPLEXITY_API_KEY"),
    "together": Provider(
        "https://api.together.ai/v1",
        "TOGETHER_API_KEY",
        hosts=("api.together.xyz",),
        rules=(Rule("request", (403, 403), _says("token|context")),),
    ),
    "xai": Provider(
        "https://api.x.ai/v1",
        "XAI_API_KEY",
        rules=(Rule("setup", (403, 429), _says("spending limit|out of credits|any credits"), CREDIT),),
    ),
    "llamacpp": Provider("http://127.0.0.1:8080/v1", "LLAMA_API_KEY", needs_key=False, dialect="llamacpp"),
    "lmstudio": Provider("http://127.0.0.1:1234/v1", "LMSTUDIO_API_KEY", needs_key=False, dialect="json_schema"),
    "ollama": Provider("http://127.0.0.1:11434/v1", "OLLAMA_API_KEY", needs_key=False, dialect="json_schema"),
    "sglang": Provider("http://127.0.0.1:30000/v1", "SGLANG_API_KEY", needs_key=False, dialect="sglang"),
    "tgi": Provider(
        "http://127.0.0.1:8080/v1", "TGI_API_KEY", needs_key=False, rules=(Rule("fault", (424, 424)),), dialect="tgi"
    ),
    "vllm": Provider("http://127.0.0.1:8000/v1", "VLLM_API_KEY", needs_key=False, dialect="vllm"),
}


def name_at(host: str | None) -> str | None:
    """The name of the provider whose endpoint is at a host; None for others."""
    for name, provider in PROVIDERS.items():
        if provider.needs_key and host and host in (urlsplit(provider.url).hostname, *provider.hosts):
            return name
    return None


def provider_at(host: str | None) -> Provider | None:
    """The provider whose endpoint is at a host; None for others."""
    name = name_at(host)
    return PROVIDERS[name] if name else None
